#include "app/estimate.h"

#include <ATen/Parallel.h>

#include <sstream>

#include "app/engine_commands.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/forecast/forecast.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"
#include "titan/tools/process.h"
#include "titan/tools/standard_output.h"

namespace titan::app {

namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
/// Of the memory that is left to the program, for a dry run.
constexpr double kMemoryShare = 0.7;
/// Of one CPU core, roughly: to tell seconds from hours.
constexpr double kOperationsPerSecond = 2e10;
constexpr double kLongStep = 120;  // seconds

}  // namespace

int estimate(const config::CommandLine& command) {
  const forecast::Forecast forecast =
      forecast::make_forecast(command.config, command.world_size, /*alternatives=*/true);
  const std::string json = forecast::forecast_json(forecast);
  tools::print(command.json ? json : forecast::forecast_table(forecast));
  if (command.output) {
    base::write_file_atomically(base::posix_file_system(), *command.output, json);
  }
  return 0;
}

int show_plan(const config::CommandLine& command) {
  tools::print(forecast::plan_table(
      forecast::make_forecast(command.config, command.world_size, /*alternatives=*/false)));
  return 0;
}

forecast::Forecast log_forecast(const config::JobConfig& config, std::int64_t world_size) {
  forecast::Forecast forecast = forecast::make_forecast(config, world_size, /*alternatives=*/true);
  std::istringstream lines(forecast::forecast_table(forecast));
  for (std::string line; std::getline(lines, line);) tools::log_info(line);
  return forecast;
}

std::string obstacle_to_a_step(const forecast::Forecast& forecast, bool may_take_long) {
  // Rank 0 is the one that is run.
  const forecast::MemoryFigures& needed =
      forecast.pipeline.empty() ? forecast.memory.front() : forecast.pipeline.front().memory;
  const auto peak = static_cast<double>(needed.peak);
  const auto memory = static_cast<double>(tools::unused_memory_bytes());
  if (peak > kMemoryShare * memory) {
    return concat("it needs ", tools::fixed(peak / kGiB, 1), " GiB of the ",
                  tools::fixed(memory / kGiB, 1), " GiB that this process may still take here");
  }
  const auto tokens =
      static_cast<double>(forecast.microbatches * forecast.local_batch_size * forecast.seq_len);
  const double operations = 6 * static_cast<double>(forecast.total_parameters) * tokens;
  const double seconds = operations / (kOperationsPerSecond * at::get_num_threads());
  if (seconds < kLongStep || may_take_long) return {};
  return concat("it would take about ", tools::fixed(seconds / 60, 0),
                " minutes on this machine's CPU; --training.steps=1 on the command line insists");
}

}  // namespace titan::app
