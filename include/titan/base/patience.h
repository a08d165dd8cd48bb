#pragma once

#include <algorithm>
#include <chrono>

namespace titan::base {

/// A limit on a wait that counts only while this process runs: one that is suspended (SIGSTOP, a
/// frozen container) goes on waiting when it is continued, as those it waits for were suspended, too. Who waits
/// asks several times a second. One thread.
class Patience {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Patience(Clock::duration limit, Clock::time_point now = Clock::now())
      : left_(limit), asked_(now) {}

  /// Whether the limit is reached. Of the time since the last question a second counts at most.
  bool is_over(Clock::time_point now = Clock::now()) {
    left_ -= std::min<Clock::duration>(now - asked_, std::chrono::seconds(1));
    asked_ = now;
    return left_ <= Clock::duration::zero();
  }

  /// How long to wait before the next question.
  std::chrono::milliseconds until_next_question() const {
    constexpr std::chrono::milliseconds kLongest(200);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(left_);
    return std::clamp(left, std::chrono::milliseconds(0), kLongest);
  }

 private:
  Clock::duration left_;
  Clock::time_point asked_;
};

}  // namespace titan::base
