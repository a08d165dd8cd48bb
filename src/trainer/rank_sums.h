#pragma once

#include <vector>

#include "titan/comm/rank_context.h"

namespace titan::trainer {

/// Sums of a few numbers over the ranks of a job, so that all ranks go on with the same figures and
/// decide alike. Ranks that work on the same rows count once. All ranks call the same methods in the
/// same order; in a job of one rank nothing is sent. Throws RunError.
class RankSums {
 public:
  explicit RankSums(const comm::RankContext& context);

  /// Element by element.
  std::vector<double> sum(std::vector<double> mine) const;
  double max(double mine) const;
  /// Whether any rank says so.
  bool any(bool mine) const;

 private:
  comm::ProcessGroup* world_;  // null in a job of one rank
  at::Device device_;
  bool counts_;  // one rank of those that work on the same rows
};

}  // namespace titan::trainer
