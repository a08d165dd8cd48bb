#pragma once

#include <cstdint>
#include <memory>

#include "titan/config/run.h"
#include "titan/profiling/profiler_setup.h"

namespace titan::profiling {

class MemorySnapshots;
class StepTraces;

/// Traces of training steps and snapshots of the CUDA allocator, every `profiling.profile_freq`
/// steps, in the places where TorchTitan puts them. While it lives, SIGUSR1 has the next step traced,
/// whether or not traces are enabled.
///
/// `start`, then `begin_step` and `end_step` around each step, then `finish`, all on the thread that
/// trains. One rank per process can be traced at a time (Kineto is global). What goes wrong with a
/// file of a step is logged and does not end the run.
class Profiler {
 public:
  /// Throws ConfigError for memory snapshots without a GPU.
  Profiler(const config::Profiling& config, ProfilerSetup setup);
  /// Drops the trace under way.
  ~Profiler();

  /// `completed_steps` of the run are done: a resumed run keeps to the cycle. Throws RunError when
  /// the folders cannot be made.
  void start(std::int64_t completed_steps);
  void begin_step();
  /// Writes what is due. Not called for a step that is canceled.
  void end_step();
  /// No step follows: writes the trace under way if it has at least one whole step.
  void finish();
  /// The device ran out of memory in this step, which ends the run: writes a last snapshot, if
  /// snapshots are enabled. Never throws.
  void out_of_memory() noexcept;

 private:
  std::unique_ptr<MemorySnapshots> snapshots_;
  std::unique_ptr<StepTraces> traces_;
};

}  // namespace titan::profiling
