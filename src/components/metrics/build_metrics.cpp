#include <array>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "components/metrics/background_sink.h"
#include "components/metrics/tensorboard_sink.h"
#include "components/metrics/wandb_sink.h"
#include "titan/base/errors.h"
#include "titan/components/metrics/metrics.h"
#include "titan/components/metrics/step_lines.h"
#include "titan/config/run.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"

namespace titan::components {
namespace {

/// Once per run, so that a reader can check every MFU.
void explain_mfu(const protocols::MetricsSetup& setup) {
  if (!setup.peak_flops) {
    tools::log_info("Peak FLOPS of this device are unknown: mfu is n/a");
    return;
  }
  char peak[32];
  std::snprintf(peak, sizeof peak, "%.3e", *setup.peak_flops);
  tools::log_info("Peak FLOPS used for computing MFU: ", peak);
  tools::log_info("mfu = 100 * tps * ", tools::with_thousands(setup.flops_per_token),
                  " FLOPs per token / peak FLOPS");
}

std::string start_minute() {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  ::localtime_r(&now, &local);
  std::array<char, 32> text = {};
  std::strftime(text.data(), text.size(), "%Y%m%d-%H%M", &local);
  return text.data();
}

/// The folder of this rank's dashboards.
std::string dashboard_folder(const config::Metrics& config, const MetricsOutput& output) {
  const std::string folder =
      (std::filesystem::path(output.dump_folder) / config.save_tb_folder / start_minute()).string();
  return config.save_for_all_ranks ? concat(folder, "/rank_", output.rank) : folder;
}

std::unique_ptr<MetricsSink> make_wandb_sink(const std::string& folder,
                                             const std::string& config_json) {
  try {
    base::posix_file_system().create_directories(folder);
    WandbSink::Options options;
    options.folder = folder;
    options.config_json = config_json;
    options.python = wandb_python();
    options.script = wandb_sidecar_script();
    return std::make_unique<WandbSink>(std::move(options));
  } catch (const RunError& error) {
    tools::log_error("Failed to create WandB logger: ", error.what(), kRunGoesOn);
    return nullptr;
  }
}

std::vector<std::unique_ptr<MetricsSink>> make_sinks(const config::Metrics& config,
                                                     const MetricsOutput& output,
                                                     std::int64_t resumed_at) {
  base::FileSystem& files = base::posix_file_system();
  std::vector<std::unique_ptr<MetricsSink>> sinks;
  if (output.rank == output.reporting_rank) {
    const bool resumed = resumed_at > 0;
    set_aside_steps_from(files, output.dump_folder + "/metrics.jsonl",
                         resumed ? resumed_at + 1 : 0);
    sinks.push_back(std::make_unique<BackgroundSink>(
        std::make_unique<JsonlSink>(files, output.dump_folder, /*append=*/resumed)));
  } else if (!config.save_for_all_ranks) {
    return sinks;
  }
  const std::string folder = dashboard_folder(config, output);
  if (config.enable_wandb) {
    if (auto sink = make_wandb_sink(folder, output.config_json)) sinks.push_back(std::move(sink));
  }
  if (config.enable_tensorboard) {
    sinks.push_back(
        std::make_unique<BackgroundSink>(std::make_unique<TensorBoardSink>(files, folder)));
    tools::log_info("TensorBoard logging enabled. Logs will be saved at ", folder);
  }
  return sinks;
}

}  // namespace

std::unique_ptr<protocols::MetricsProcessor> build_metrics_processor(
    const protocols::MetricsSetup& setup, const config::Metrics& config,
    const MetricsOutput& output) {
  std::vector<std::unique_ptr<MetricsSink>> sinks = make_sinks(config, output, setup.resumed_at);
  explain_mfu(setup);
  MetricsProcessor::Options options;
  options.log_freq = config.log_freq;
  options.colors = tools::console_colors(config.disable_color_printing);
  if (output.rank == output.reporting_rank && setup.total_steps > 0) {
    options.status_line = status_line_of_terminal();
  }
  return std::make_unique<MetricsProcessor>(setup, std::move(options), std::move(sinks));
}

}  // namespace titan::components
