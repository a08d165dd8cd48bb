#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "comm/handed_over.h"

namespace titan::comm {

/// Where the threads of a group meet: round n is the n-th collective of each. Any thread.
class LocalMeeting {
 public:
  struct Round {
    std::vector<HandedOver> inputs;                 // by place; complete once all have arrived
    std::vector<std::vector<std::int64_t>> splits;  // of all_to_all
    std::size_t arrived = 0;
    std::once_flag reduced_once;
    HandedOver reduced;
  };

  explicit LocalMeeting(std::size_t size) : size_(size) {}

  /// Brings this place's input to a round; the input is not changed any more.
  std::shared_ptr<Round> arrive(std::uint64_t round, std::size_t place, at::Tensor input,
                                std::vector<std::int64_t> splits);
  /// Throws std::runtime_error when the time is over or the meeting was aborted.
  void wait_for_all(const Round& round, std::chrono::milliseconds timeout);

  /// Messages from one place to another.
  void post(std::size_t from, std::size_t to, at::Tensor message);
  /// The number of the next message to take.
  std::uint64_t next_receive(std::size_t from, std::size_t to);
  HandedOver take(std::size_t from, std::size_t to, std::uint64_t number,
                  std::chrono::milliseconds timeout);

  /// Ends all waits, now and later.
  void abort(const std::string& reason);

 private:
  struct Mailbox {
    std::map<std::uint64_t, HandedOver> messages;
    std::uint64_t posted = 0;
    std::uint64_t received = 0;
  };

  template <class Ready>
  void wait_until(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds timeout,
                  Ready ready);

  const std::size_t size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, std::shared_ptr<Round>> rounds_;  // not complete yet
  std::map<std::pair<std::size_t, std::size_t>, Mailbox> mailboxes_;
  std::string aborted_;
};

}  // namespace titan::comm
