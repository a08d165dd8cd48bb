// collectives_bench [MIB]: all_gather, reduce_scatter and all_reduce between two processes over Gloo,
// ours beside ProcessGroupGloo's own. MB/s are of the whole tensor, per rank, the best of several.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "titan/base/errors.h"
#include "titan/comm/gloo_backend.h"
#include "titan/comm/tcp_store.h"
#include "unit/comm/plain_gloo.h"

namespace titan::comm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono_literals::operator""s;

constexpr int kRounds = 12;

double best_mb_per_second(ProcessGroup& group, std::int64_t bytes,
                          const std::function<void()>& collective) {
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    group.barrier();
    const auto begin = Clock::now();
    collective();
    const std::chrono::duration<double> took = Clock::now() - begin;
    best = std::max(best, static_cast<double>(bytes) / 1e6 / took.count());
  }
  return best;
}

void measure(const char* kind, ProcessGroup& group, std::int64_t bytes) {
  const std::int64_t count = bytes / 4;
  const at::Tensor whole = at::full({count}, 1.0);
  const at::Tensor part = at::full({count / group.size()}, 1.0);
  const double gather =
      best_mb_per_second(group, bytes, [&] { group.all_gather(whole, part).wait(); });
  const double scatter =
      best_mb_per_second(group, bytes, [&] { group.reduce_scatter(part, whole).wait(); });
  const double reduce = best_mb_per_second(group, bytes, [&] { group.all_reduce(whole).wait(); });
  if (group.rank() == 0) {
    std::printf("%-6s %8.2f MiB  all_gather %6.0f  reduce_scatter %6.0f  all_reduce %6.0f MB/s\n",
                kind, static_cast<double>(bytes) / (1 << 20), gather, scatter, reduce);
    std::fflush(stdout);
  }
}

/// One that nobody listens on: other benches may run beside this one.
std::uint16_t free_port() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  TITAN_CHECK(bind(listener, generic, size) == 0 && getsockname(listener, generic, &size) == 0,
              "no port of loopback is free");
  close(listener);
  return ntohs(address.sin_port);
}

void run_rank(std::int64_t rank, std::uint16_t port, std::int64_t mib) {
  at::set_num_threads(1);
  tools::LaunchEnvironment launch;
  launch.rank = rank;
  launch.world_size = launch.local_world_size = 2;
  launch.master_address = "127.0.0.1";
  launch.master_port = port;
  const auto store = connect_store(launch, 60s);
  const auto ours = make_gloo_backend(*store, launch)->make_group("world", {0, 1}, 60s, nullptr);
  const auto plain = test::make_plain_gloo(*store, "world", rank, 2, 60s);
  for (const std::int64_t bytes : {std::int64_t{16} << 10, std::int64_t{1} << 20, mib << 20}) {
    measure("ours", *ours, bytes);
    measure("plain", *plain, bytes);
  }
  ours->barrier();
}

}  // namespace
}  // namespace titan::comm

int main(int argc, char** argv) {
  const std::int64_t mib = argc > 1 ? std::max(1, std::atoi(argv[1])) : 64;
  const std::uint16_t port = titan::comm::free_port();
  const pid_t child = fork();  // before any thread
  titan::comm::run_rank(child == 0 ? 1 : 0, port, mib);
  if (child == 0) return 0;
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? 0 : 1;
}
