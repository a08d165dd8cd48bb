#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "titan/comm/collective_observer.h"
#include "watch/flight_recorder.h"

namespace titan::watch {

/// A followed collective that failed, or did not end in time.
struct LostCollective {
  std::uint64_t id = 0;  // of the flight recorder
  std::string group;
  std::string operation;
  std::uint64_t sequence = 0;
  std::vector<std::int64_t> ranks;  // of the group, as ranks of the world
  std::vector<std::int64_t> peers;  // of messages; empty for a collective
  double waited_seconds = 0;
  std::string error;
};

/// Collectives under way whose waits do not tell when they end. Each is kept, with the tensors that its
/// back end holds on to, until it has ended and somebody looks: the next that is added, or the heartbeat.
/// Any thread.
class FollowedCollectives {
 public:
  explicit FollowedCollectives(std::shared_ptr<FlightRecorder> recorder)
      : recorder_(std::move(recorder)) {}

  void add(std::uint64_t id, const comm::CollectiveCall& call,
           std::unique_ptr<comm::UnderWay> work);
  /// Lets those go that have ended, and returns the first of the others that failed or has taken longer
  /// than its limit.
  std::optional<LostCollective> look();
  /// Does not count this time, in which the process was suspended.
  void forgive(std::chrono::steady_clock::duration suspended);
  /// Follows nothing any more.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  using Ranks = std::shared_ptr<const std::vector<std::int64_t>>;

  struct Followed {
    std::uint64_t id = 0;
    std::string group;
    std::string operation;
    std::uint64_t sequence = 0;
    Ranks ranks;
    std::vector<std::int64_t> peers;
    Clock::time_point started;
    std::unique_ptr<comm::UnderWay> work;
  };

  void drop_ended_in_front();
  Ranks ranks_of(const comm::CollectiveCall& call);

  const std::shared_ptr<FlightRecorder> recorder_;
  std::mutex mutex_;
  std::list<Followed> all_;
  std::map<std::string, Ranks, std::less<>>
      ranks_;  // by group, so that a collective copies no list
};

}  // namespace titan::watch
