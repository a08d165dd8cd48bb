#include "comm/wait_limits.h"

#include <c10/util/thread_name.h>

#include <utility>

namespace titan::comm {

namespace {

// Also where nobody waits: to wake the thread for each wait would cost more than its looking.
constexpr std::chrono::milliseconds kLook(100);

}  // namespace

WaitLimits::WaitLimits() : thread_([this] { loop(); }) {}

WaitLimits::~WaitLimits() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

WaitLimits::Guard::~Guard() {
  const std::lock_guard lock(limits_.mutex_);
  limits_.waits_.erase(wait_);
}

WaitLimits::Guard WaitLimits::guard(std::chrono::milliseconds limit,
                                    std::function<void()> give_up) {
  const std::lock_guard lock(mutex_);
  waits_.push_front({base::Patience(limit), std::move(give_up)});
  return {*this, waits_.begin()};
}

void WaitLimits::loop() {
  c10::setThreadName("titan_limits");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    for (Wait& wait : waits_) {
      if (wait.patience.is_over() && wait.give_up) std::exchange(wait.give_up, nullptr)();
    }
    changed_.wait_for(lock, kLook, [this] { return stopping_; });
  }
}

}  // namespace titan::comm
