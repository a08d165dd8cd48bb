#include "titan/comm/gloo_backend.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>

#include "comm/c10d_store.h"
#include "comm/error_reason.h"
#include "comm/gloo_group.h"
#include "comm/gloo_wire.h"
#include "comm/job_secret.h"
#include "comm/memory_wire.h"
#include "titan/base/errors.h"

namespace titan::comm {

namespace {

constexpr const char* kInterface = "GLOO_SOCKET_IFNAME";

/// Gloo writes to peers that may be gone: that is to be an error, not the end of the process.
void ignore_broken_pipes() {
  struct sigaction action {};
  if (::sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) {
    ::signal(SIGPIPE, SIG_IGN);
  }
}

/// Gloo's own choice is the address of the host's name, which others reach also where no rank is elsewhere, and which
/// it cannot read where the name has the full length.
c10::intrusive_ptr<c10d::ProcessGroupGloo::Options> options_for(
    const tools::LaunchEnvironment& launch, std::chrono::milliseconds timeout) {
  using Gloo = c10d::ProcessGroupGloo;
  const bool chosen = std::getenv(kInterface) != nullptr;
  const bool readable = launch.host.size() < HOST_NAME_MAX;
  if (chosen || (!launch.on_one_machine() && readable)) {
    return Gloo::Options::create_default(timeout);
  }
  auto options = Gloo::Options::create(timeout);
  try {
    options->devices.push_back(
        Gloo::createDeviceForHostname(launch.on_one_machine() ? "127.0.0.1" : launch.host));
  } catch (const std::exception& error) {
    throw RunError(concat("this machine cannot be reached by its name, '", launch.host, "' (",
                          reason_of(error),
                          "): set GLOO_SOCKET_IFNAME to the network interface to the others"));
  }
  return options;
}

/// Anybody may connect in a member's place: Gloo asks for eight bytes that can be guessed. Throws RunError
/// where one of the others does not know the secret.
void prove_membership(ProcessGroup& group, const JobSecret& secret, const std::string& prefix) {
  constexpr auto kSize = static_cast<std::int64_t>(JobSecret::kSealSize);
  const auto proof = [&](std::int64_t from, std::int64_t to) {
    return secret.seal(concat("member ", from, " to ", to, " of ", prefix));
  };
  const at::Tensor sent = at::empty({group.size(), kSize}, at::kByte);
  const at::Tensor received = at::empty_like(sent);
  for (std::int64_t to = 0; to < group.size(); ++to) {
    std::memcpy(sent[to].mutable_data_ptr(), proof(group.rank(), to).data(), JobSecret::kSealSize);
  }
  const std::vector<std::int64_t> ones(static_cast<std::size_t>(group.size()), 1);
  try {
    group.all_to_all(received, sent, ones, ones).wait();
  } catch (const RunError& error) {
    throw RunError(
        concat("not all members have proved to know the secret of this job; a stranger "
               "may have taken the connection of one (",
               error.what(), ")"));
  }
  for (std::int64_t from = 0; from < group.size(); ++from) {
    const auto* bytes = static_cast<const char*>(received[from].const_data_ptr());
    if (same_seal({bytes, JobSecret::kSealSize}, proof(from, group.rank()))) continue;
    throw RunError(concat("what connected as rank ", group.ranks()[static_cast<std::size_t>(from)],
                          " does not know the secret of this job: it is none of its ranks"));
  }
}

class GlooBackend : public Backend {
 public:
  GlooBackend(Store& store, const tools::LaunchEnvironment& launch, Carrier carrier)
      : store_(store),
        launch_(launch),
        rank_(launch.rank),
        secret_(launch.secret),
        shares_memory_(carrier == Carrier::kMemory && launch.on_one_machine() &&
                       std::getenv(kInterface) == nullptr) {
    ignore_broken_pipes();
  }

  std::string_view name() const override { return "gloo"; }

  std::unique_ptr<ProcessGroup> make_group(const std::string& name,
                                           const std::vector<std::int64_t>& ranks,
                                           std::chrono::milliseconds timeout,
                                           CollectiveObserver* observer) override {
    const std::int64_t place = place_in_group(ranks, rank_);
    const std::string prefix = key_prefix(name, ranks);
    store_.set(present_key(prefix, rank_), "1");
    try {
      const auto keys = c10::make_intrusive<C10dStore>(store_, prefix);
      keys->setTimeout(timeout);
      auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(keys, static_cast<int>(place),
                                                              static_cast<int>(ranks.size()),
                                                              options_for(launch_, timeout));
      // All have connected: what answers now does so at once, and a stranger never.
      const auto limit = std::min<std::chrono::milliseconds>(timeout, std::chrono::seconds(60));
      const auto unobserved = make_gloo_group({name, ranks, place, nullptr}, gloo,
                                              make_gloo_wire(gloo, limits_, limit));
      if (secret_.is_set()) prove_membership(*unobserved, secret_, prefix);
      std::shared_ptr<Wire> wire;
      if (shares_memory_ && ranks.size() > 1) wire = make_memory_wire(*unobserved, timeout);
      if (!wire) wire = make_gloo_wire(gloo, limits_, timeout);
      return make_gloo_group({name, ranks, place, observer}, std::move(gloo), std::move(wire));
    } catch (const std::exception& error) {
      throw RunError(concat("rank ", rank_, " cannot join group '", name, "' of ranks ",
                            joined(ranks), ": ", absence(prefix, ranks, timeout),
                            reason_of(error)));
    }
  }

 private:
  static std::string present_key(const std::string& prefix, std::int64_t rank) {
    return concat(prefix, "present/", rank);
  }

  /// Differs for every group that this rank is in, and is the same on all ranks of one.
  std::string key_prefix(const std::string& name, const std::vector<std::int64_t>& ranks) {
    const std::string id = group_id(name, ranks);
    return concat("gloo/", id, "/", made_[id]++, "/");
  }

  /// Who has not come, as the beginning of a message; nothing when all have.
  std::string absence(const std::string& prefix, const std::vector<std::int64_t>& ranks,
                      std::chrono::milliseconds timeout) {
    constexpr std::size_t kMostNamed = 16;
    std::vector<std::int64_t> absent;
    try {
      for (const std::int64_t rank : ranks) {
        if (!store_.find(present_key(prefix, rank))) absent.push_back(rank);
        if (absent.size() == kMostNamed) break;
      }
    } catch (const RunError& error) {
      return concat(error.what(), "; ");
    }
    if (absent.empty()) return {};
    return concat("rank ", joined(absent), " did not come within ", timeout.count(), " ms; ");
  }

  Store& store_;
  tools::LaunchEnvironment launch_;
  std::int64_t rank_;
  JobSecret secret_;
  bool shares_memory_;
  std::shared_ptr<WaitLimits> limits_ = std::make_shared<WaitLimits>();
  std::map<std::string, int> made_;
};

}  // namespace

std::unique_ptr<Backend> make_gloo_backend(Store& store, const tools::LaunchEnvironment& launch,
                                           Carrier carrier) {
  TITAN_CHECK(launch.rank >= 0 && launch.rank < launch.world_size, "no rank ", launch.rank,
              " in a world of ", launch.world_size);
  return std::make_unique<GlooBackend>(store, launch, carrier);
}

}  // namespace titan::comm
