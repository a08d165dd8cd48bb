#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "titan/schedule/schedule.h"

namespace titan::schedule {

/// Stages of a rank whose parameters are gathered at a time.
inline constexpr std::int64_t kMostGatheredStages = 3;

/// A schedule of computations with all that goes on around them, in PyTorch's order: parameters of a stage are
/// gathered while it is among the next three that the rank works on, gradients summed behind its last backward;
/// what another rank needs is sent as soon as it is there, and received, by the peer, as early as it can
/// be. Between two stages of one rank nothing is sent. Throws ConfigError for what waits for itself.
Schedule lower(const Schedule& computations);

/// How many actions of a rank's lowered list, from `first` on, are one exchange: messages with nothing in between, as far as the
/// last one that the next computation needs. All of them are over before that computation in the one order of all ranks, so
/// that to wait for one is to wait for none that would not come. 0: the action is no message.
std::size_t exchange_length(const std::vector<Action>& actions, std::size_t first);

/// Without what `lower` adds.
Schedule computations_of(const Schedule& schedule);

}  // namespace titan::schedule
