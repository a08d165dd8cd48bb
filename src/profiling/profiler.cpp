#include "titan/profiling/profiler.h"

#include "profiling/memory_snapshots.h"
#include "profiling/step_traces.h"

namespace titan::profiling {

Profiler::Profiler(const config::Profiling& config, ProfilerSetup setup) {
  if (config.enable_memory_snapshot) {
    snapshots_ = std::make_unique<MemorySnapshots>(config, setup);
  }
  traces_ = std::make_unique<StepTraces>(config, setup);
}

Profiler::~Profiler() = default;

void Profiler::start(std::int64_t completed_steps) {
  if (snapshots_) snapshots_->start(completed_steps);
  traces_->start(completed_steps);
}

void Profiler::begin_step() { traces_->begin_step(); }

void Profiler::end_step() {
  traces_->end_step();
  if (snapshots_) snapshots_->end_step();
}

void Profiler::finish() { traces_->finish(); }

void Profiler::out_of_memory() noexcept {
  if (snapshots_) snapshots_->out_of_memory();
}

}  // namespace titan::profiling
