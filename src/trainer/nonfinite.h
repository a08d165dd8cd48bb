#pragma once

#include <cstdint>
#include <string>

#include "titan/comm/rank_context.h"
#include "titan/config/job_config.h"
#include "titan/protocols/train_spec.h"

namespace titan::trainer {

/// A sentence or two about a step whose loss or gradient norm is NaN or infinite: which, and the first
/// parameters with such gradients. Of a pipeline also which stages have some, wherever they are: its ranks call it together.
std::string describe_nonfinite(const protocols::StepMetrics& metrics,
                               const protocols::ModelParts& model_parts,
                               const comm::RankContext& context);

/// What becomes of steps whose loss or gradient norm is NaN or infinite: `debug.on_nan`, within limits.
class NonfinitePolicy {
 public:
  enum class Verdict { kUpdate, kSkipUpdate, kGoBack };

  /// All outlive the object.
  NonfinitePolicy(config::OnNan on_nan, const protocols::ModelParts& model_parts,
                  const comm::RankContext& context, protocols::MetricsProcessor& metrics)
      : on_nan_(on_nan), model_parts_(model_parts), context_(context), metrics_(metrics) {}

  /// All ranks call it together, with the same figures. Throws RunError, after the step was reported, when training is to end.
  Verdict judge(const protocols::StepMetrics& metrics);
  /// A checkpoint was made: what was gone back to is no longer the newest.
  void checkpoint_made() { returns_ = 0; }

 private:
  [[noreturn]] void give_up(const protocols::StepMetrics& metrics, const std::string& why);

  config::OnNan on_nan_;
  const protocols::ModelParts& model_parts_;
  const comm::RankContext& context_;
  protocols::MetricsProcessor& metrics_;
  std::int64_t skipped_in_a_row_ = 0;
  std::int64_t returns_ = 0;  // since the last checkpoint
};

}  // namespace titan::trainer
