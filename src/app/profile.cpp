#include <filesystem>

#include "app/engine_commands.h"
#include "app/train_job.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/profiling/operator_profile.h"
#include "titan/profiling/profile_report.h"
#include "titan/tools/logging.h"
#include "titan/tools/read_launch_environment.h"
#include "titan/tools/standard_output.h"

namespace titan::app {

namespace {

/// The first steps make what stays: state of the optimizer, pools of memory, kernels.
constexpr std::int64_t kFirstRecorded = 3;
constexpr std::int64_t kLastRecorded = 5;

/// The same job, of a few steps that leave nothing behind but in a folder of their own.
config::CommandLine few_steps(const config::CommandLine& command) {
  config::CommandLine result = command;
  config::JobConfig& config = result.config;
  config.job.dump_folder = std::filesystem::path(config.job.dump_folder) / "profile";
  config.training.steps = kLastRecorded;
  config.metrics = config::Metrics();
  config.metrics.log_freq = 1;
  config.profiling = config::Profiling();
  config.checkpoint = config::Checkpoint();
  config.validation.enable = false;
  return result;
}

std::string job_of(const config::JobConfig& config) {
  const config::Training& training = config.training;
  return concat(config.model.name, " ", config.model.flavor, ", ", training.local_batch_size, " x ",
                training.seq_len, " tokens", config.compile.enable ? ", fast paths" : "");
}

}  // namespace

int profile(const config::CommandLine& command, tools::StartupTimes& startup_times) {
  tools::log_to_standard_error();
  const config::CommandLine steps = few_steps(command);
  profiling::OperatorProfile profile(kFirstRecorded);
  const int status = train_job(steps, startup_times, &profile);
  if (status != 0 || tools::read_launch_environment().rank != 0) return status;
  if (profile.fastest().calls.empty()) {
    throw RunError(concat("profile: the job ended before step ", kFirstRecorded,
                          ", the first that is recorded: give it more data"));
  }
  profiling::ProfileReport report = {
      job_of(command.config), profile.fastest(), profiling::measure_machine(), {}};
  report.contests = profiling::hold_contests(report.step);
  base::FileSystem& files = base::posix_file_system();
  const std::filesystem::path folder = steps.config.job.dump_folder;
  const std::string json = profiling::profile_json(report);
  const std::string json_path = command.output.value_or((folder / "profile.json").string());
  const std::string trace_path = (folder / "trace.json").string();
  base::write_file_atomically(files, json_path, json);
  base::write_file_atomically(files, trace_path, profiling::profile_trace(report));
  tools::log_info("Wrote ", json_path, " and, for Perfetto, ", trace_path);
  tools::print(command.json ? json : profiling::profile_table(report));
  return 0;
}

}  // namespace titan::app
