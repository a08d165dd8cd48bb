#pragma once

#include <cstdint>
#include <string>

#include "titan/config/run.h"
#include "titan/profiling/profiler_setup.h"

namespace titan::profiling {

/// Snapshots of the GPU's caching allocator with the history of its allocations, in the pickle format
/// of torch.cuda.memory._dump_snapshot, which pytorch.org/memory_viz shows.
class MemorySnapshots {
 public:
  /// Throws ConfigError without an accelerator.
  MemorySnapshots(const config::Profiling& config, const ProfilerSetup& setup);

  void start(std::int64_t completed_steps);
  void end_step();
  /// Writes `iteration_<n>_exit`, n steps being done. The history shows the allocation that failed.
  void out_of_memory() noexcept;

 private:
  void save(const std::string& iteration) noexcept;

  base::FileSystem& files_;
  std::string folder_;
  std::int64_t rank_;
  std::int64_t every_;
  tools::Accelerator& accelerator_;
  std::int64_t completed_ = 0;
};

}  // namespace titan::profiling
