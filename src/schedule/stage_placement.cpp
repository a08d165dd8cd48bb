#include "titan/schedule/stage_placement.h"

namespace titan::schedule {

std::int64_t Placement::rank_of(std::int64_t stage) const {
  if (is_v && stage >= ranks) return 2 * ranks - 1 - stage;
  return stage % ranks;
}

std::vector<std::int64_t> Placement::stages_of(std::int64_t rank) const {
  if (is_v) return {rank, 2 * ranks - 1 - rank};
  std::vector<std::int64_t> result;
  for (std::int64_t i = 0; i < stages_per_rank; ++i) result.push_back(rank + i * ranks);
  return result;
}

}  // namespace titan::schedule
