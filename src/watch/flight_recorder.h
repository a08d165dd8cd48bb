#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "titan/comm/collective_observer.h"

namespace titan::watch {

/// How far a rank has come in one group: its last collective there. Of an exchange of messages, which
/// no other rank's numbers are compared with, its own number.
struct GroupProgress {
  std::string group;
  std::string operation;
  std::uint64_t sequence = 0;
};

/// A collective that has started and not finished.
struct PendingCollective {
  GroupProgress what;
  double seconds = 0;  // since it started
};

struct PhaseNow {
  std::string name;
  std::int64_t step = 0;
  double seconds = 0;  // since it began
};

/// The last collectives of one rank, and where it is. Any thread.
class FlightRecorder {
 public:
  /// Keeps `capacity` collectives for the dump; 0: none.
  explicit FlightRecorder(std::int64_t capacity);

  void enter_phase(std::string_view phase, std::int64_t step);
  std::uint64_t started(const comm::CollectiveCall& call);
  void finished(std::uint64_t id);
  void failed(std::uint64_t id);

  PhaseNow phase() const;
  /// Of every group with a collective; messages do not count.
  std::vector<GroupProgress> progress() const;
  /// Of those still kept; what a blocked rank waits in.
  std::optional<PendingCollective> oldest_pending() const;
  /// Seconds since a collective started; 0 when it is not kept any more.
  double seconds_since(std::uint64_t id) const;

  /// All that is kept, oldest first, with the keys of PyTorch's flight recorder where they mean the
  /// same.
  std::string json(std::int64_t rank, std::int64_t world_size) const;

 private:
  using Time = std::chrono::steady_clock::time_point;
  enum class State : std::uint8_t { kStarted, kFinished, kFailed };

  struct Record {
    std::uint64_t id = 0;
    std::uint64_t sequence = 0;
    std::int64_t bytes = 0;
    std::int64_t step = 0;
    Time started;
    Time ended;
    std::uint16_t group = 0;
    std::uint16_t operation = 0;
    std::uint16_t phase = 0;
    bool point_to_point = false;
    State state = State::kStarted;
  };

  /// Few different texts, each kept once.
  class Names {
   public:
    std::uint16_t index_of(std::string_view name);
    const std::string& operator[](std::uint16_t index) const { return names_[index]; }

   private:
    std::vector<std::string> names_;
  };

  struct LastOfGroup {
    std::uint16_t group;
    std::uint16_t operation;
    std::uint64_t sequence;
  };

  void end(std::uint64_t id, State state);
  const Record* find(std::uint64_t id) const;

  mutable std::mutex mutex_;
  const std::size_t shown_;
  std::vector<Record> ring_;
  std::uint64_t last_id_ = 0;
  mutable std::uint64_t oldest_pending_ = 1;  // every collective before it has ended
  Names groups_;
  Names operations_;
  Names phases_;
  std::vector<LastOfGroup> last_;
  std::uint16_t phase_ = 0;
  std::int64_t step_ = 0;
  Time phase_began_;
};

}  // namespace titan::watch
