#include "titan/components/metrics/metrics.h"

#include <numeric>
#include <utility>

#include "components/metrics/console_line.h"
#include "titan/base/errors.h"
#include "titan/tools/logging.h"

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

/// Often enough to look alive.
constexpr double kSecondsBetweenShows = 0.1;

void hand_over(MetricsSink& sink, const StepReport& report) { sink.log(report); }
void hand_over(MetricsSink& sink, const ValidationReport& report) { sink.log_validation(report); }

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
  if (options_.status_line) {
    progress_ = std::make_unique<ProgressView>(
        ProgressView{Progress(setup.total_steps, options_.now), std::move(options_.status_line)});
  }
  start_interval();
}

bool MetricsProcessor::should_log(std::int64_t step) const {
  const bool logged = step == 1 || step % options_.log_freq == 0;
  if (progress_) {
    progress_->progress.finish_step(step);
    const double now = options_.now();
    const bool due = now - progress_->shown_at >= kSecondsBetweenShows;
    if (!logged && (due || step == setup_.total_steps)) progress_->show(now);
  }
  return logged;
}

void MetricsProcessor::ProgressView::show(double now) {
  line->show(progress.text(line->columns()));
  shown_at = now;
}

void MetricsProcessor::add_batch(std::int64_t tokens, double loading_seconds) {
  ntokens_since_last_log_ += tokens;
  data_loading_times_.push_back(loading_seconds);
}

void MetricsProcessor::log(const protocols::StepMetrics& metrics) {
  publish(metrics.step, report(metrics));
  data_loading_times_.clear();
}

void MetricsProcessor::log_validation(const protocols::ValidationMetrics& metrics) {
  publish(metrics.step,
          ValidationReport{metrics, tps(options_.now() - time_last_log_), setup_.memory->peak()});
}

template <class Report>
void MetricsProcessor::publish(std::int64_t step, const Report& report) {
  warn_of_memory_trouble(report.memory);
  record(step, report);
  tools::log_info(console_line(report, options_.colors));
  if (progress_) progress_->show(options_.now());
  start_interval();
}

double MetricsProcessor::tps(double seconds) const {
  return static_cast<double>(ntokens_since_last_log_) /
         (seconds * static_cast<double>(setup_.non_data_parallel_size));
}

StepReport MetricsProcessor::report(const protocols::StepMetrics& metrics) const {
  const double time_delta = options_.now() - time_last_log_;
  const double loading =
      std::accumulate(data_loading_times_.begin(), data_loading_times_.end(), 0.0);
  const auto flops_per_token = static_cast<double>(setup_.flops_per_token);

  StepReport report;
  report.step = metrics;
  report.tps = tps(time_delta);
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

template <class Report>
void MetricsProcessor::record(std::int64_t step, const Report& report) {
  for (auto& [sink, failing] : sinks_) {
    try {
      hand_over(*sink, report);
      if (std::exchange(failing, false)) {
        tools::log_info(sink->name(), ": recording again");
      }
    } catch (const RunError& error) {
      if (!std::exchange(failing, true)) {
        tools::log_error("Metrics are not recorded at step ", step, ": ", error.what(),
                         ". Training continues; every logged step tries again.");
      }
    }
  }
}

void MetricsProcessor::start_interval() {
  ntokens_since_last_log_ = 0;
  time_last_log_ = options_.now();
  setup_.memory->reset_peak();
}

void MetricsProcessor::close() {
  progress_.reset();
  for (GuardedSink& guarded : std::exchange(sinks_, {})) {
    try {
      guarded.sink->close();
    } catch (const RunError& error) {
      tools::log_error("Metrics are incomplete: ", error.what());
    }
  }
}

}  // namespace titan::components
