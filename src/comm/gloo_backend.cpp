#include "titan/comm/gloo_backend.h"

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <csignal>
#include <map>

#include "comm/c10d_store.h"
#include "comm/error_reason.h"
#include "comm/gloo_group.h"
#include "titan/base/errors.h"

namespace titan::comm {

namespace {

/// Gloo writes to peers that may be gone: that is to be an error, not the end of the process.
void ignore_broken_pipes() {
  struct sigaction action {};
  if (::sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) {
    ::signal(SIGPIPE, SIG_IGN);
  }
}

class GlooBackend : public Backend {
 public:
  GlooBackend(Store& store, std::int64_t rank) : store_(store), rank_(rank) {
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
      auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
          keys, static_cast<int>(place), static_cast<int>(ranks.size()),
          c10d::ProcessGroupGloo::Options::create_default(timeout));
      return make_gloo_group({name, ranks, place, observer}, std::move(gloo), timeout);
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
  std::int64_t rank_;
  std::map<std::string, int> made_;
};

}  // namespace

std::unique_ptr<Backend> make_gloo_backend(Store& store, std::int64_t rank,
                                           std::int64_t world_size) {
  TITAN_CHECK(rank >= 0 && rank < world_size, "no rank ", rank, " in a world of ", world_size);
  return std::make_unique<GlooBackend>(store, rank);
}

}  // namespace titan::comm
