#include "app/schedule.h"

#include <algorithm>

#include "app/engine.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/schedule/csv.h"
#include "titan/schedule/drawing.h"
#include "titan/schedule/lowering.h"
#include "titan/tools/standard_output.h"

namespace titan::app {

namespace {

/// Larger ones nobody runs, and they take seconds.
constexpr std::int64_t kMostActions = 4'000'000;
constexpr std::uint64_t kMostCsvBytes = 64 << 20;

void check_size(std::int64_t ranks, std::int64_t stages, std::int64_t microbatches) {
  if (ranks > kMostActions || stages > kMostActions || microbatches > kMostActions ||
      ranks * stages > kMostActions || ranks * stages * microbatches > kMostActions) {
    throw ConfigError(concat("schedule: ", ranks, " ranks, ", stages, " stages per rank and ",
                             microbatches, " microbatches are more than can be looked at"));
  }
}

/// That of a job, of the stages that its model is cut into. The engine knows the model.
schedule::Schedule job_schedule(const config::CommandLine& command) {
  const config::ScheduleOptions& asked = command.schedule;
  config::JobConfig job = command.config;
  config::Parallelism& parallelism = job.parallelism;
  if (asked.ranks > 0) parallelism.pipeline_parallel_degree = asked.ranks;
  check_size(parallelism.pipeline_parallel_degree, 1, asked.microbatches);
  if (asked.microbatches > 0) {
    job.training.local_batch_size =
        asked.microbatches * parallelism.pipeline_parallel_microbatch_size;
  }
  return load_engine().job_schedule(job);
}

schedule::Schedule schedule_of(const config::CommandLine& command) {
  const config::ScheduleOptions& asked = command.schedule;
  const config::Parallelism& parallelism = command.config.parallelism;
  const config::Training& training = command.config.training;
  const bool is_jobs = parallelism.pipeline_parallel_degree > 1;
  if (is_jobs && asked.name.empty() && asked.stages_per_rank == 0) return job_schedule(command);
  std::string name = asked.name;
  if (name.empty()) name = parallelism.pipeline_parallel_schedule_csv.value_or("");
  if (name.empty()) name = parallelism.pipeline_parallel_schedule;
  const std::int64_t ranks = asked.ranks > 0 ? asked.ranks : parallelism.pipeline_parallel_degree;
  const std::int64_t microbatches =
      asked.microbatches > 0
          ? asked.microbatches
          : std::max<std::int64_t>(
                1, training.local_batch_size / parallelism.pipeline_parallel_microbatch_size);
  const auto kind = schedule::find_kind(name);
  const std::int64_t stages = asked.stages_per_rank > 0 ? asked.stages_per_rank
                              : !kind || schedule::has_one_stage_per_rank(*kind) ? 1
                                                                                 : 2;
  check_size(ranks, stages, microbatches);
  if (kind) return schedule::make_schedule(*kind, ranks, stages, microbatches);
  base::FileSystem& files = base::posix_file_system();
  if (!files.exists(name)) {
    std::string names;
    for (const std::string_view each : schedule::kKindNames) {
      names += concat(names.empty() ? "" : ", ", each);
    }
    throw ConfigError(
        concat("schedule: ", name, " is neither a schedule (", names, ") nor a CSV file"));
  }
  return schedule::from_csv(base::read_whole_file(files, name, kMostCsvBytes),
                            {ranks, stages, false}, microbatches);
}

}  // namespace

void show_schedule(const config::CommandLine& command) {
  const config::ScheduleOptions& asked = command.schedule;
  const schedule::Schedule schedule = schedule_of(command);
  const auto& [forward, inputs, weights, transfer] = asked.times;
  const schedule::Timeline timeline =
      schedule::simulate(schedule, {forward, inputs, weights, transfer});
  const schedule::Placement& placement = schedule.placement;
  const std::string title =
      concat(schedule.name, ", ", placement.ranks, " ranks, ", placement.stages(), " stages, ",
             schedule.microbatches, " microbatches");
  base::FileSystem& files = base::posix_file_system();
  if (asked.svg) {
    base::write_file_atomically(files, *asked.svg,
                                schedule::timeline_svg(timeline, placement, title));
  }
  if (asked.trace) {
    base::write_file_atomically(files, *asked.trace, schedule::timeline_trace(timeline));
  }
  tools::print(asked.csv ? schedule::to_csv(schedule)
                         : title + "\n" + schedule::timeline_text(timeline, placement));
}

}  // namespace titan::app
