#pragma once

#include <optional>

#include "titan/comm/rank_context.h"
#include "titan/protocols/rank_figures.h"

namespace titan::trainer {

/// What the host learns of a step.
struct StepFigures {
  double loss = 0;     // of all ranks
  double largest = 0;  // of all ranks' own losses, each times its scale
  double norm = 0;
  bool any = false;  // whether any rank says so
};

/// Lets all ranks of a job go on with the same figures and decide alike. All ranks call the same methods in
/// the same order; in a job of one rank nothing is sent. Throws RunError.
class RankSums {
 public:
  explicit RankSums(const comm::RankContext& context);

  /// One exchange for all three figures.
  protocols::RankFigures sum(const protocols::RankFigures& mine) const;
  /// What a step has come to, from its loss on this rank and its gradient norm, scalars wherever they are. One
  /// exchange, one more for `largest` where a scale of this rank's loss is given, and one transfer to the host, which waits
  /// for the device here and nowhere else in a step. All ranks give a scale, or none does.
  StepFigures sum_of_step(const at::Tensor& loss, const at::Tensor& norm, bool any,
                          std::optional<double> scale) const;
  /// Whether any rank says so.
  bool any(bool mine) const;

 private:
  comm::ProcessGroup& world_;
  at::Device device_;
  bool counts_tokens_;  // one rank of those that read the same rows
  bool counts_loss_;    // one rank of those that compute the same losses
};

}  // namespace titan::trainer
