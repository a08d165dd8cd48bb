#pragma once

#include <functional>
#include <memory>

namespace titan::tools {

/// What a device was once given to do, to be given to it again in one call: the same kernels, on the same addresses.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  /// Gives it to the calling thread's current stream. All that is read must be where it was when it was captured.
  virtual void replay() = 0;
};

/// Captures what a device is given (CUDA graphs). Outlives its graphs.
class GraphCapture {
 public:
  virtual ~GraphCapture() = default;
  /// Runs `work` and keeps what it gives the calling thread's current stream, from whichever thread; nothing of it is
  /// done. The stream is not the default one, and every graph of this object is captured on the same.
  ///
  /// What `work` allocates lies in memory that the graphs of this object share: a tensor that is held when the next graph
  /// is captured keeps its elements until its own graph is replayed again, every other one is lost in any replay.
  ///
  /// Throws what `work` throws, such as LibTorch's errors where the device cannot capture: the host waits for it, or
  /// asks it something.
  virtual std::unique_ptr<DeviceGraph> capture(const std::function<void()>& work) = 0;
};

}  // namespace titan::tools
