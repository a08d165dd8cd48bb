#pragma once

#include <functional>

namespace titan::protocols {

/// What ranks tell one another of a step, and what they then all know. Three questions, three ways to add.
struct RankFigures {
  /// Of the rows that this rank reads: over the data-parallel ranks. Ranks that work on the same rows say
  /// the same, and count once.
  double tokens = 0;
  /// What this rank has computed of the loss: over the ranks that compute different parts of it. Ranks
  /// without the last pipeline stage have none.
  double loss = 0;
  /// Whether any rank of the job says so.
  bool any = false;
};

/// All ranks call it together.
using SumOverRanks = std::function<RankFigures(const RankFigures& mine)>;

}  // namespace titan::protocols
