#include "profiling/step_traces.h"

#include <filesystem>

#include "titan/base/clock.h"
#include "titan/base/file_system.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"

namespace titan::profiling {

StepTraces::StepTraces(const config::Profiling& config, const ProfilerSetup& setup)
    : files_(setup.files),
      folder_(std::filesystem::path(setup.dump_folder) / config.save_traces_folder),
      rank_(setup.rank),
      recorder_(setup.files, setup.device, setup.rank, setup.world_size) {
  if (config.enable_profiling) schedule_.emplace(config);
}

void StepTraces::start(std::int64_t completed_steps) {
  completed_ = completed_steps;
  if (schedule_) {
    tools::log_info("Profiling active. Traces will be saved at ", folder_);
    files_.create_directories(folder_);
  }
}

void StepTraces::begin_step() {
  const TracePhase phase = schedule_ ? schedule_->phase(completed_) : TracePhase::kWait;
  const bool asked = request_.take();
  if (phase == TracePhase::kRecord && !recorder_.recording()) {
    record_until(schedule_->end_of_cycle(completed_));
  } else if (asked && !recorder_.recording()) {
    record_until(completed_ + 1);
  } else if (phase == TracePhase::kWarmup) {
    recorder_.warm_up();
  }
  if (asked) {
    tools::log_info("SIGUSR1: profiling step ", completed_ + 1, "; the trace will be saved as ",
                    path_of(save_at_));
  }
  if (recorder_.recording()) {
    step_name_ = concat("ProfilerStep#", completed_);
    step_range_.emplace(step_name_);
  }
}

void StepTraces::end_step() {
  step_range_.reset();
  ++completed_;
  if (recorder_.recording() && completed_ == save_at_) save();
}

void StepTraces::record_until(std::int64_t last_step) {
  recorder_.start();
  first_recorded_ = completed_;
  save_at_ = last_step;
}

void StepTraces::finish() {
  step_range_.reset();
  if (recorder_.recording() && completed_ > first_recorded_) save();
  recorder_.drop();
}

void StepTraces::save() {
  tools::log_info("Dumping profiler traces at step ", completed_);
  const double start = base::monotonic_seconds();
  try {
    recorder_.stop_and_save(path_of(completed_));
    tools::log_info("Finished dumping profiler traces in ",
                    tools::fixed(base::monotonic_seconds() - start, 2), " seconds");
  } catch (const RunError& error) {
    tools::log_error("The trace is lost, training goes on: ", error.what());
  }
}

std::string StepTraces::path_of(std::int64_t step) const {
  return std::filesystem::path(folder_) / concat("iteration_", step) /
         concat("rank", rank_, "_trace.json");
}

}  // namespace titan::profiling
