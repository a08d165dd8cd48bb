#include "app/host_table.h"

#include <algorithm>
#include <sstream>

#include "titan/base/errors.h"

namespace titan::app {

namespace {

std::string key_of(std::int64_t number) { return concat("titan/host/", number); }

Host parse_host(const std::string& text) {
  Host host;
  std::istringstream fields(text);
  fields >> host.first_rank >> host.ranks >> host.name;
  if (!fields || host.ranks < 1) throw RunError(concat("the store holds no host in '", text, "'"));
  return host;
}

}  // namespace

std::vector<Host> meet_hosts(comm::Store& store, const tools::LaunchEnvironment& launch,
                             std::chrono::milliseconds timeout) {
  if (launch.local_rank == 0) {
    store.set(key_of(store.add("titan/hosts", 1)),
              concat(launch.rank, " ", launch.local_world_size, " ", launch.host));
  }
  std::vector<Host> hosts;
  if (launch.rank != 0) return hosts;
  std::int64_t met = 0;
  while (met < launch.world_size) {
    hosts.push_back(
        parse_host(store.wait(key_of(static_cast<std::int64_t>(hosts.size()) + 1), timeout)));
    met += hosts.back().ranks;
  }
  std::ranges::sort(hosts, {}, &Host::first_rank);
  return hosts;
}

std::string hosts_text(const std::vector<Host>& hosts) {
  std::string text = "Hosts: ";
  for (const Host& host : hosts) {
    if (&host != &hosts.front()) text += "; ";
    text += concat(host.name, host.ranks == 1 ? " rank " : " ranks ", host.first_rank);
    if (host.ranks > 1) text += concat("-", host.first_rank + host.ranks - 1);
  }
  return text;
}

}  // namespace titan::app
