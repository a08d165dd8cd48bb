#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "titan/comm/process_group.h"

namespace titan::comm {

/// What is left to do once the bytes of a collective have come. It is done once: by a finishing
/// thread or by the first who waits, whoever is earlier. Any thread.
class Finish {
 public:
  explicit Finish(std::function<void()> action) : action_(std::move(action)) {}

  /// Does it, unless somebody has begun to. Throws nothing: `wait` does.
  void run() noexcept;
  /// Until it is done. Throws what the action threw.
  void wait();

 private:
  enum class State { kNew, kRunning, kDone };

  std::function<void()> action_;
  std::mutex mutex_;
  std::condition_variable done_;
  State state_ = State::kNew;
  std::exception_ptr error_;
};

/// Runs finishes in the order in which they came, so that collectives proceed while their rank
/// computes. The thread begins with the first one.
class FinishingThread {
 public:
  FinishingThread() = default;
  /// Completes the finish under way; those behind it are left to who waits for them.
  ~FinishingThread();

  /// The work that is done when `action` is.
  std::unique_ptr<BackendWork> add(std::function<void()> action);

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Finish>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace titan::comm
