#pragma once

#include <cstdint>
#include <vector>

namespace titan::schedule {

/// Which of a pipeline's stages each rank has.
struct Placement {
  std::int64_t ranks = 1;
  std::int64_t stages_per_rank = 1;
  /// Rank r has stages r and 2 * ranks - 1 - r (a V); else r, r + ranks, r + 2 * ranks, ... (a loop).
  bool is_v = false;

  std::int64_t stages() const { return ranks * stages_per_rank; }
  std::int64_t rank_of(std::int64_t stage) const;
  /// Ascending.
  std::vector<std::int64_t> stages_of(std::int64_t rank) const;

  bool operator==(const Placement&) const = default;
};

}  // namespace titan::schedule
