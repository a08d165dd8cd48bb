#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "titan/tools/device_facts.h"
#include "titan/tools/device_graph.h"
#include "titan/tools/launch_environment.h"

namespace titan::tools {

/// What the device's caching allocator has seen since the last reset.
struct DeviceMemory {
  std::uint64_t peak_active_bytes = 0;
  std::uint64_t peak_reserved_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::int64_t alloc_retries = 0;
  std::int64_t ooms = 0;
};

/// A kind of GPU and the library that drives it. Lives as long as the process.
class Accelerator {
 public:
  virtual ~Accelerator() = default;
  /// Why its GPUs cannot be used although there are some, and what to do; empty where they can. Asked
  /// first.
  virtual std::string why_unusable() const { return {}; }
  virtual int device_count() const = 0;
  virtual DeviceFacts facts(int index) const = 0;
  virtual DeviceMemory peak_memory(int index) const = 0;
  virtual void reset_peak_memory(int index) = 0;
  /// From now on the caching allocator keeps its last `most_entries` allocations and releases, each
  /// with its C++ stack.
  virtual void record_memory_history(std::size_t most_entries) = 0;
  /// Segments, blocks and history of all devices' allocators, in the pickle format of
  /// torch.cuda.memory._dump_snapshot.
  virtual std::string memory_snapshot() = 0;
  /// For graphs of the device `index` that share memory.
  virtual std::unique_ptr<GraphCapture> make_graph_capture(int index) = 0;
  /// What is loaded, for `--version`: {"CUDA", "13.0"}, {"cuDNN", ...}, {"NCCL", ...}, {"driver",
  /// ...}.
  virtual std::vector<std::pair<std::string, std::string>> versions() const = 0;
};

/// The result of looking for a GPU: an accelerator, or the reason why there is none.
struct AcceleratorSearch {
  Accelerator* accelerator = nullptr;
  std::string reason;
  /// Whether the reason is one to put right: there is a GPU, but it cannot be used.
  bool unusable = false;
};

/// Loads `libtitan_cuda.so` beside the program, and with it LibTorch's CUDA libraries (350 MB),
/// when an NVIDIA driver shows a GPU. Call it before the first tensor is made: LibTorch looks for
/// its CUDA half only once.
AcceleratorSearch find_accelerator();

/// Which of this process's `gpus` (at least one) is its rank's: the one of its local rank, or the only one that a
/// launcher shows it (Slurm's --gpus-per-task=1). Throws RunError where there is none for it.
int gpu_of_rank(const LaunchEnvironment& launch, int gpus);

}  // namespace titan::tools
