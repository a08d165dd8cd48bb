#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "titan/base/file_system.h"

namespace titan::profiling {

/// Records with LibTorch's Kineto profiler what the CPU and, on a GPU, the device does: operators with
/// the shapes of their inputs, ranges, kernels. Records the thread that calls `start` and the threads
/// of autograd that work for it. All calls on one thread.
class TraceRecorder {
 public:
  TraceRecorder(base::FileSystem& files, at::Device device, std::int64_t rank,
                std::int64_t world_size);
  /// Drops what was recorded.
  ~TraceRecorder();
  TraceRecorder(const TraceRecorder&) = delete;
  TraceRecorder& operator=(const TraceRecorder&) = delete;

  bool recording() const { return state_ == State::kRecording; }

  /// Turns the device's tracing on without keeping anything. `start` does it too where it was not
  /// done, and pays for it then.
  void warm_up();
  void start();
  /// Writes what was recorded since `start` as Chrome trace JSON: the file is there whole or not at
  /// all. Throws RunError.
  void stop_and_save(const std::string& path);
  /// Back to the beginning, from any state.
  void drop() noexcept;

 private:
  enum class State { kIdle, kWarm, kRecording };

  base::FileSystem& files_;
  at::Device device_;
  std::string rank_json_;
  State state_ = State::kIdle;
};

}  // namespace titan::profiling
