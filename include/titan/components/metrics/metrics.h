#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/clock.h"
#include "titan/components/metrics/metrics_sink.h"
#include "titan/components/metrics/progress.h"
#include "titan/protocols/metrics.h"
#include "titan/tools/colors.h"

namespace titan::config {
struct Metrics;
}

namespace titan::components {

/// Computes throughput, MFU and times of the interval since the last log; writes TorchTitan
/// v0.2.2's console line and hands the report to every sink. A sink that fails is reported once,
/// loudly, and stops neither the others nor the run. On a terminal, a line below the log says how
/// long the run will take.
class MetricsProcessor : public protocols::MetricsProcessor {
 public:
  struct Options {
    std::int64_t log_freq = 10;
    tools::Colors colors;
    std::function<double()> now = base::monotonic_seconds;
    /// Null: progress is not shown.
    std::unique_ptr<StatusLine> status_line = nullptr;
  };

  /// The first interval begins here.
  MetricsProcessor(const protocols::MetricsSetup& setup, Options options,
                   std::vector<std::unique_ptr<MetricsSink>> sinks);

  /// The trainer asks after every step, so this is also where progress is shown.
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

  /// The progress line, which steps move on and log lines overwrite.
  struct ProgressView {
    Progress progress;
    std::unique_ptr<StatusLine> line;
    double shown_at = 0;

    void show(double now);
  };

  StepReport report(const protocols::StepMetrics& metrics) const;
  double tps(double seconds) const;
  template <class Report>
  void record(std::int64_t step, const Report& report);
  template <class Report>
  void publish(std::int64_t step, const Report& report);
  void start_interval();

  protocols::MetricsSetup setup_;
  Options options_;
  std::vector<GuardedSink> sinks_;
  std::int64_t ntokens_since_last_log_ = 0;
  std::vector<double> data_loading_times_;
  double time_last_log_ = 0;
  std::unique_ptr<ProgressView> progress_;
};

/// Where the figures of a rank go.
struct MetricsOutput {
  std::string dump_folder;
  /// The whole job config, for dashboards: a JSON object.
  std::string config_json = "{}";
  std::int64_t rank = 0;
  /// The rank whose figures stand for the run; the others write none, unless
  /// `metrics.save_for_all_ranks`.
  std::int64_t reporting_rank = 0;
};

/// The processor of a training run. Its sinks: `<dump_folder>/metrics.jsonl` always; a TensorBoard
/// file and a Weights & Biases run where the config asks for them, both in
/// `<dump_folder>/<save_tb_folder>/<YYYYMMDD-HHMM>` (and `/rank_<r>` when every rank writes).
/// Logs the peak that MFU refers to. Throws RunError when a file cannot be opened; without
/// Weights & Biases the run goes on.
std::unique_ptr<protocols::MetricsProcessor> build_metrics_processor(
    const protocols::MetricsSetup& setup, const config::Metrics& config,
    const MetricsOutput& output);

}  // namespace titan::components
