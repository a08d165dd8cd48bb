#include "titan/components/metrics.h"

#include <cstdio>
#include <numeric>
#include <utility>

#include "console_line.h"
#include "titan/base/errors.h"
#include "titan/config/run.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"

namespace titan::components {
namespace {

void warn_of_memory_trouble(const protocols::MemoryPeak& memory) {
  if (memory.num_alloc_retries > 0) {
    tools::log_warning(memory.num_alloc_retries, " CUDA memory allocation retries.");
  }
  if (memory.num_ooms > 0) {
    tools::log_warning(memory.num_ooms, " CUDA OOM errors thrown.");
  }
}

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

}  // namespace

MetricsProcessor::MetricsProcessor(const protocols::MetricsSetup& setup, Options options,
                                   std::vector<std::unique_ptr<MetricsSink>> sinks)
    : setup_(setup), options_(std::move(options)) {
  TITAN_CHECK(setup.flops_per_token > 0, "flops_per_token is not set");
  TITAN_CHECK(setup.memory != nullptr, "no memory monitor");
  TITAN_CHECK(options_.log_freq > 0, "log_freq is ", options_.log_freq);
  for (std::unique_ptr<MetricsSink>& sink : sinks) {
    sinks_.push_back({std::move(sink)});
  }
  start_interval();
}

bool MetricsProcessor::should_log(std::int64_t step) const {
  return step == 1 || step % options_.log_freq == 0;
}

void MetricsProcessor::add_batch(std::int64_t tokens, double loading_seconds) {
  ntokens_since_last_log_ += tokens;
  data_loading_times_.push_back(loading_seconds);
}

void MetricsProcessor::log(const protocols::StepMetrics& metrics) {
  const StepReport step_report = report(metrics);
  warn_of_memory_trouble(step_report.memory);
  record(step_report);
  tools::log_info(console_line(step_report, options_.colors));
  start_interval();
}

void MetricsProcessor::log_validation(const protocols::ValidationMetrics& metrics) {
  throw InternalError("validation is refused before it begins");
}

StepReport MetricsProcessor::report(const protocols::StepMetrics& metrics) const {
  const double time_delta = options_.now() - time_last_log_;
  const double loading =
      std::accumulate(data_loading_times_.begin(), data_loading_times_.end(), 0.0);
  const auto flops_per_token = static_cast<double>(setup_.flops_per_token);

  StepReport report;
  report.step = metrics;
  report.tps = static_cast<double>(ntokens_since_last_log_) /
               (time_delta * static_cast<double>(setup_.non_data_parallel_size));
  report.tflops = flops_per_token * report.tps / 1e12;
  if (setup_.peak_flops) {
    report.mfu = 100 * flops_per_token * report.tps / *setup_.peak_flops;
  }
  if (!data_loading_times_.empty()) {
    report.data_loading_s = loading / static_cast<double>(data_loading_times_.size());
  }
  report.data_loading_pct = 100 * loading / time_delta;
  report.end_to_end_s = time_delta / static_cast<double>(options_.log_freq);
  report.memory = setup_.memory->peak();
  return report;
}

void MetricsProcessor::record(const StepReport& report) {
  for (auto& [sink, failing] : sinks_) {
    try {
      sink->log(report);
      if (std::exchange(failing, false)) {
        tools::log_info(sink->name(), ": recording again");
      }
    } catch (const RunError& error) {
      if (!std::exchange(failing, true)) {
        tools::log_error("Metrics are not recorded at step ", report.step.step, ": ", error.what(),
                         ". Training continues; every logged step tries again.");
      }
    }
  }
}

void MetricsProcessor::start_interval() {
  ntokens_since_last_log_ = 0;
  data_loading_times_.clear();
  time_last_log_ = options_.now();
  setup_.memory->reset_peak();
}

void MetricsProcessor::close() {
  for (GuardedSink& guarded : std::exchange(sinks_, {})) {
    try {
      guarded.sink->close();
    } catch (const RunError& error) {
      tools::log_error("Metrics are incomplete: ", error.what());
    }
  }
}

std::unique_ptr<protocols::MetricsProcessor> build_metrics_processor(
    const protocols::MetricsSetup& setup, const config::Metrics& config,
    const std::string& dump_folder) {
  std::vector<std::unique_ptr<MetricsSink>> sinks;
  sinks.push_back(
      std::make_unique<JsonlSink>(base::posix_file_system(), dump_folder, /*append=*/false));
  explain_mfu(setup);
  return std::make_unique<MetricsProcessor>(
      setup,
      MetricsProcessor::Options{config.log_freq,
                                tools::console_colors(config.disable_color_printing)},
      std::move(sinks));
}

}  // namespace titan::components
