#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/clock.h"
#include "titan/components/metrics_sink.h"
#include "titan/protocols/metrics.h"
#include "titan/tools/colors.h"

namespace titan::config {
struct Metrics;
}

namespace titan::components {

/// Computes throughput, MFU and times of the interval since the last log; writes TorchTitan
/// v0.2.2's console line and hands the report to every sink. A sink that fails is reported once,
/// loudly, and stops neither the others nor the run.
class MetricsProcessor : public protocols::MetricsProcessor {
 public:
  struct Options {
    std::int64_t log_freq = 10;
    tools::Colors colors;
    std::function<double()> now = base::monotonic_seconds;
  };

  /// The first interval begins here.
  MetricsProcessor(const protocols::MetricsSetup& setup, Options options,
                   std::vector<std::unique_ptr<MetricsSink>> sinks);

  bool should_log(std::int64_t step) const override;
  void add_batch(std::int64_t tokens, double loading_seconds) override;
  void log(const protocols::StepMetrics& metrics) override;
  void log_validation(const protocols::ValidationMetrics& metrics) override;
  void close() override;

 private:
  struct GuardedSink {
    std::unique_ptr<MetricsSink> sink;
    bool failing = false;
  };

  StepReport report(const protocols::StepMetrics& metrics) const;
  void record(const StepReport& report);
  void start_interval();

  protocols::MetricsSetup setup_;
  Options options_;
  std::vector<GuardedSink> sinks_;
  std::int64_t ntokens_since_last_log_ = 0;
  std::vector<double> data_loading_times_;
  double time_last_log_ = 0;
};

/// The processor of a training run, with `<dump_folder>/metrics.jsonl` as a sink. Logs the peak
/// that MFU refers to. Throws RunError when the folder cannot be written.
std::unique_ptr<protocols::MetricsProcessor> build_metrics_processor(
    const protocols::MetricsSetup& setup, const config::Metrics& config,
    const std::string& dump_folder);

}  // namespace titan::components
