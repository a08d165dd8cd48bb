#include "app/estimate.h"

#include <ATen/Parallel.h>

#include <sstream>

#include "app/engine_commands.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/forecast/forecast.h"
#include "titan/tools/device_facts.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"
#include "titan/tools/process.h"
#include "titan/tools/standard_output.h"

namespace titan::app {

namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr double kLongStep = 120;  // seconds

/// What a device has for a dry run, roughly: to tell what fits, and seconds from hours.
struct Means {
  double memory = 0;        // bytes
  double memory_share = 0;  // that may be taken
  double operations_per_second = 0;
  std::string_view where;
};

Means means_of(const Hardware& hardware) {
  if (hardware.accelerator == nullptr) {
    constexpr double kPerCore = 2e10;
    return {static_cast<double>(tools::unused_memory_bytes()), 0.7,
            kPerCore * at::get_num_threads(), "that this process may still take here"};
  }
  constexpr double kOfPeak = 0.2;
  constexpr double kOfAnUnknownGpu = 5e13;
  return {static_cast<double>(hardware.facts.total_memory_bytes), 0.9,
          kOfPeak * tools::peak_flops(hardware.facts.name).value_or(kOfAnUnknownGpu),
          "of this GPU"};
}

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

std::string obstacle_to_a_step(const forecast::Forecast& forecast, const Hardware& hardware,
                               bool may_take_long) {
  // Rank 0 is the one that is run.
  const forecast::MemoryFigures& needed =
      forecast.pipeline.empty() ? forecast.memory.front() : forecast.pipeline.front().memory;
  const auto peak = static_cast<double>(needed.peak);
  const Means means = means_of(hardware);
  if (peak > means.memory_share * means.memory) {
    return concat("it needs ", tools::fixed(peak / kGiB, 1), " GiB of the ",
                  tools::fixed(means.memory / kGiB, 1), " GiB ", means.where);
  }
  const auto tokens =
      static_cast<double>(forecast.microbatches * forecast.local_batch_size * forecast.seq_len);
  const double operations = 6 * static_cast<double>(forecast.total_parameters) * tokens;
  const double seconds = operations / means.operations_per_second;
  if (seconds < kLongStep || may_take_long) return {};
  return concat("it would take about ", tools::fixed(seconds / 60, 0),
                " minutes on this machine's ", hardware.accelerator == nullptr ? "CPU" : "GPU",
                "; --training.steps=1 on the command line insists");
}

}  // namespace titan::app
