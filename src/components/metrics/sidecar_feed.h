#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "components/metrics/sidecar_process.h"

namespace titan::components {

/// Hands lines to a sidecar from a thread of its own, so that a slow, blocked or dead one costs the
/// trainer nothing. All methods are for one thread.
class SidecarFeed {
 public:
  /// Called from the feed's thread.
  struct Listener {
    std::function<void(const std::string& line)> answered;
    /// The process ended ("exit status 1"), by itself or after `finish`.
    std::function<void(const std::string& how)> ended;
  };

  /// Starts the process. At most `queue_bytes` of lines wait for it. Throws RunError.
  SidecarFeed(const SidecarProcess::Program& program, std::size_t queue_bytes, Listener listener);
  /// Leaves the process behind; what it has not taken is lost.
  ~SidecarFeed();
  SidecarFeed(const SidecarFeed&) = delete;
  SidecarFeed& operator=(const SidecarFeed&) = delete;

  /// Queues a line (with its newline). False when the queue is full. A process that has ended takes
  /// nothing and says nothing.
  bool offer(std::string line);
  /// Queues the last line, after which the process's input ends.
  void finish(std::string last_line);
  /// Waits for the process to end; false when it has not after `seconds`.
  bool wait(double seconds);
  /// Lines that the process has not taken.
  std::size_t waiting_lines();

 private:
  void run();
  bool prepare_write();
  void write_some();
  bool read_answers();
  void reap();
  void wake();

  std::size_t queue_bytes_;
  Listener listener_;
  SidecarProcess process_;
  int wake_event_;

  std::mutex mutex_;
  std::condition_variable ended_changed_;
  std::deque<std::string> queue_;  // its first line may be written in part
  std::size_t queued_bytes_ = 0;
  bool finishing_ = false;
  bool left_behind_ = false;
  bool ended_ = false;

  // Of the thread alone.
  std::size_t written_ = 0;  // bytes of the first line
  std::string answer_;       // the beginning of a line
  std::thread thread_;
};

}  // namespace titan::components
