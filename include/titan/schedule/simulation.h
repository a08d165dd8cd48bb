#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/schedule/schedule.h"

namespace titan::schedule {

/// How long things take, in any unit. Of a stage's microbatch; a whole backward takes both halves' time.
struct Times {
  double forward = 1;
  double input_gradient = 1;
  double weight_gradient = 1;
  /// From one rank to another. Computing goes on meanwhile.
  double transfer = 0;
};

/// An action and when it ran.
struct Interval {
  Action action;
  double begin = 0;
  double end = 0;
};

/// What one rank did.
struct RankTimeline {
  std::vector<Interval> intervals;
  double busy = 0;
  /// The most microbatches, counted once per stage, that were forward and not yet backward (the weights' half
  /// included) at once.
  std::int64_t peak_in_flight = 0;
};

struct Timeline {
  std::vector<RankTimeline> ranks;
  double makespan = 0;

  /// Of the ranks' time, how much they do not compute: 0 to 1.
  double bubble() const;
};

/// The most microbatches, counted once per stage, that are forward and not yet backward when a rank performs these
/// actions one after the other. Communication does not count.
std::int64_t peak_in_flight(const std::vector<Action>& actions);

/// Runs what a schedule computes: each rank one action after the other, each as soon as what it needs has arrived.
/// An overlap takes the time of both. Throws ConfigError for a schedule that gets stuck, which says which actions
/// wait for which.
Timeline simulate(const Schedule& schedule, const Times& times = {});

}  // namespace titan::schedule
