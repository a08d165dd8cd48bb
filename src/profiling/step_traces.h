#pragma once

#include <optional>
#include <string>

#include "profiling/trace_recorder.h"
#include "profiling/trace_schedule.h"
#include "titan/config/run.h"
#include "titan/profiling/profiler_setup.h"
#include "titan/profiling/range.h"
#include "titan/tools/signals.h"

namespace titan::profiling {

/// Traces of training steps: on a schedule, and of the next step when SIGUSR1 asks for it. The file of
/// a trace is named by the number of steps done at its end, the range of a step inside it, like
/// TorchTitan's, by the number of steps done before it.
class StepTraces {
 public:
  StepTraces(const config::Profiling& config, const ProfilerSetup& setup);

  void start(std::int64_t completed_steps);
  void begin_step();
  void end_step();
  void finish();

 private:
  void record_until(std::int64_t last_step);
  void save();
  std::string path_of(std::int64_t step) const;

  base::FileSystem& files_;
  std::string folder_;
  std::int64_t rank_;
  std::optional<TraceSchedule> schedule_;  // when traces are enabled
  tools::ProfileRequest request_;
  TraceRecorder recorder_;

  std::int64_t completed_ = 0;
  std::int64_t first_recorded_ = 0;
  std::int64_t save_at_ = 0;
  std::string step_name_;
  std::optional<Range> step_range_;  // names itself by step_name_
};

}  // namespace titan::profiling
