#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "titan/protocols/data_loader.h"
#include "titan/protocols/metrics.h"
#include "titan/protocols/rank_figures.h"

namespace titan::protocols {

/// Measures the loss on held-out data between training steps.
class Validator {
 public:
  virtual ~Validator() = default;
  /// Whether a validation follows this step.
  virtual bool should_validate(std::int64_t step) const = 0;
  /// Runs the validation data through the model, without gradients, and reports the loss; or stops
  /// between two batches, without a report, when `should_stop` says so on any rank. Ranks may have
  /// different numbers of batches: all go on until the last has none. Throws RunError when the data
  /// cannot be read.
  virtual void validate(std::int64_t step, const std::function<bool()>& should_stop) = 0;
};

/// What a validator works with. References outlive it.
struct ValidatorSetup {
  std::unique_ptr<DataLoader> data;
  /// The model's loss: the sum over the batch's valid tokens, 0-dim fp32.
  std::function<at::Tensor(Batch&)> loss_sum;
  MetricsProcessor& metrics;
  SumOverRanks sum_over_ranks = [](const RankFigures& mine) { return mine; };
};

}  // namespace titan::protocols
