#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace titan::protocols {

/// Device memory since the last reset. Without a GPU: the process's resident memory.
struct MemoryPeak {
  double max_active_gib = 0;
  double max_active_pct = 0;
  double max_reserved_gib = 0;
  double max_reserved_pct = 0;
  std::int64_t num_alloc_retries = 0;
  std::int64_t num_ooms = 0;
};

class MemoryMonitor {
 public:
  virtual ~MemoryMonitor() = default;
  virtual MemoryPeak peak() = 0;
  virtual void reset_peak() = 0;
};

/// What a metrics processor needs to know once.
struct MetricsSetup {
  std::int64_t flops_per_token = 0;
  /// Dense bf16 peak of the device; unknown: no MFU.
  std::optional<double> peak_flops;
  /// Context x tensor x pipeline degree: ranks that work on the same tokens.
  std::int64_t non_data_parallel_size = 1;
  /// Steps of the whole run; 0 when unknown.
  std::int64_t total_steps = 0;
  MemoryMonitor* memory = nullptr;
  std::int64_t rank = 0;
  /// The step of the checkpoint that the run goes on from; 0: it begins.
  std::int64_t resumed_at = 0;
  /// The rank whose figures stand for the run.
  std::int64_t reporting_rank = 0;
};

/// How evenly a layer's router used its experts in one step, over all ranks. No token is ever dropped.
struct ExpertLoad {
  std::string layer;
  /// Tokens of the expert that had most, in means of all.
  double imbalance = 0;
  /// Experts without a token, of so many.
  std::int64_t idle_experts = 0;
  std::int64_t experts = 0;
  /// Rows that went to experts: each token counts once for each of its experts.
  std::int64_t tokens = 0;
};

/// What the trainer reports of one step. Losses and norms are fp32 values widened to double.
struct StepMetrics {
  std::int64_t step = 0;
  double loss = 0;
  double max_loss = 0;
  double grad_norm = 0;
  double lr = 0;
  std::int64_t n_tokens_seen = 0;
  std::vector<ExpertLoad> expert_loads = {};  // of every mixture of experts
};

/// What the validator reports.
struct ValidationMetrics {
  std::int64_t step = 0;
  /// Mean over all valid tokens.
  double loss = 0;
};

/// Turns what the trainer counts into log lines, files and dashboards.
class MetricsProcessor {
 public:
  virtual ~MetricsProcessor() = default;
  /// Whether `log` wants this step: the first one and every `metrics.log_freq`-th.
  virtual bool should_log(std::int64_t step) const = 0;
  /// Counts one fetched microbatch and the seconds its fetch took.
  virtual void add_batch(std::int64_t tokens, double loading_seconds) = 0;
  /// Reports a step and starts the next interval.
  virtual void log(const StepMetrics& metrics) = 0;
  /// Reports a validation, whose batches were counted by `add_batch`, and starts the next interval.
  virtual void log_validation(const ValidationMetrics& metrics) = 0;
  /// Writes out what is still buffered.
  virtual void close() = 0;
};

}  // namespace titan::protocols
