#pragma once

#include <cstdint>
#include <vector>

#include "titan/schedule/action.h"
#include "titan/schedule/stage_placement.h"

namespace titan::schedule {

// What each rank computes in each of the schedules (schedule.h says whose they are). The number of microbatches
// was checked.

using Orders = std::vector<std::vector<Action>>;  // by rank

Orders gpipe(const Placement& placement, std::int64_t microbatches);
Orders one_forward_one_backward(const Placement& placement, std::int64_t microbatches);
Orders looped_bfs(const Placement& placement, std::int64_t microbatches);

/// Whether a backward's halves follow one another at once.
enum class Halves { kTogether, kApart };
/// `rounds`: microbatches go through all stages of the ranks in so many groups of equal size.
Orders interleaved(const Placement& placement, std::int64_t microbatches, std::int64_t rounds,
                   Halves halves);

Orders zero_bubble_v(const Placement& placement, std::int64_t microbatches);
Orders dual_pipe_v(const Placement& placement, std::int64_t microbatches);

}  // namespace titan::schedule
