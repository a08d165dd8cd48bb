#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace titan::comm {

/// One collective, or one exchange of messages, as the watch over them sees it.
struct CollectiveCall {
  std::string_view group;      // the group's name, as "fsdp"
  std::string_view operation;  // as "all_gather"; of messages "send", "receive" or "exchange"
  /// Counts the group's collectives from 1, the same on all its ranks. Exchanges of messages, of which
  /// ranks have different numbers, are counted apart, by each rank for itself.
  std::uint64_t sequence = 0;
  std::int64_t bytes = 0;                            // of this rank's input
  const std::vector<std::int64_t>* ranks = nullptr;  // of the group, as ranks of the world
  /// To and from whom the messages go, as ranks of the world; null for a collective.
  const std::vector<std::int64_t>* peers = nullptr;
};

/// A collective whose wait says nothing of its end: on a GPU it makes a stream wait and returns.
class UnderWay {
 public:
  /// It is to have ended within `limit` of its start.
  explicit UnderWay(std::chrono::milliseconds limit) : limit_(limit) {}
  virtual ~UnderWay() = default;

  std::chrono::milliseconds limit() const { return limit_; }
  /// Never blocks. Any thread. Throws std::exception with the back end's error where it failed.
  virtual bool has_ended() = 0;

 private:
  std::chrono::milliseconds limit_;
};

/// Is told of every collective of a rank. Called by the thread that starts or waits.
class CollectiveObserver {
 public:
  virtual ~CollectiveObserver() = default;
  /// Returns a number that the others get back.
  virtual std::uint64_t started(const CollectiveCall& call) = 0;
  /// Right after the start of one whose wait will say nothing: whether it is followed from now on, so that
  /// its wait does not count as its end.
  virtual bool follow(std::uint64_t id, const CollectiveCall& call,
                      std::unique_ptr<UnderWay> work) {
    return false;
  }
  virtual void finished(std::uint64_t id) = 0;
  /// One message for a collective that failed with `error`: who is missing, where, why.
  virtual std::string explain(std::uint64_t id, const CollectiveCall& call,
                              std::string_view error) = 0;
};

}  // namespace titan::comm
