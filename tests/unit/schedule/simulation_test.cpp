#include "titan/schedule/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "unit/schedule/schedules.h"
#include "support/throws.h"
#include "titan/schedule/csv.h"
#include "titan/schedule/lowering.h"

namespace titan::schedule {
namespace {

using testing::HasSubstr;

double number(std::int64_t n) { return static_cast<double>(n); }

TEST(Simulation, EverySchedulesEnds) {
  for_all_schedules([](const Schedule& schedule) {
    const Timeline timeline = simulate(schedule, {.transfer = 0.25});
    const double each = number(schedule.microbatches * schedule.placement.stages_per_rank) * 3;
    for (const RankTimeline& rank : timeline.ranks) EXPECT_DOUBLE_EQ(rank.busy, each);
    EXPECT_GE(timeline.makespan, each);
  });
}

/// With forward and both halves of backward equally long, and nothing lost on the way.
double bubble_of(Kind kind, std::int64_t ranks, std::int64_t stages, std::int64_t microbatches) {
  return simulate(make_schedule(kind, ranks, stages, microbatches)).bubble();
}

TEST(Simulation, BubblesOfOneStagePerRankAreThePublishedOnes) {
  for (std::int64_t ranks = 1; ranks <= 8; ++ranks) {
    for (std::int64_t m = ranks; m <= 32; ++m) {
      const double expected = number(ranks - 1) / number(m + ranks - 1);
      EXPECT_NEAR(bubble_of(Kind::kGPipe, ranks, 1, m), expected, 1e-12);
      EXPECT_NEAR(bubble_of(Kind::k1F1B, ranks, 1, m), expected, 1e-12);
    }
  }
}

TEST(Simulation, InterleavingDividesTheBubbleByTheStages) {
  for (std::int64_t ranks = 2; ranks <= 8; ++ranks) {
    for (std::int64_t stages = 2; stages <= 4; ++stages) {
      for (std::int64_t rounds = 1; rounds <= 4; ++rounds) {
        const std::int64_t m = ranks * rounds;
        EXPECT_NEAR(bubble_of(Kind::kInterleaved1F1B, ranks, stages, m),
                    number(ranks - 1) / number(stages * m + ranks - 1), 1e-12);
        EXPECT_NEAR(bubble_of(Kind::kLoopedBfs, ranks, stages, m),
                    number(ranks - 1) / number(stages * m + ranks - 1), 1e-12);
      }
    }
  }
}

TEST(Simulation, InAVNoBubbleIsLeftButTheRampsOfOneForward) {
  for (std::int64_t ranks = 2; ranks <= 8; ++ranks) {
    for (std::int64_t m = 2 * ranks; m <= 32; m += 3) {
      const double idle = number(ranks - 1) / (number(6 * m) + number(ranks - 1));
      EXPECT_NEAR(bubble_of(Kind::kZbvZeroBubble, ranks, 2, m), idle, 1e-12)
          << ranks << " ranks, " << m << " microbatches";
    }
  }
}

TEST(Simulation, SplitBackwardsAndOverlapsLeaveThePublishedBubbles) {
  for (std::int64_t ranks = 2; ranks <= 8; ++ranks) {
    for (const std::int64_t rounds : {2, 3, 4}) {
      const std::int64_t m = ranks * rounds;
      // Of each rank, in the time of one forward, of which three make forward and backward: 1F1B's with (forward +
      // input gradient - weight gradient), and DualPipe's (overlap + backward - 3 weight gradients).
      const auto idle = [&](Kind kind, std::int64_t stages) {
        const double bubble = bubble_of(kind, ranks, stages, m);
        return bubble / (1 - bubble) * number(3 * stages * m);
      };
      EXPECT_NEAR(idle(Kind::kInterleavedZeroBubble, 3), number(ranks - 1), 1e-9);
      EXPECT_NEAR(idle(Kind::kDualPipeV, 2), number(2 * (ranks - 1)), 1e-9);
    }
  }
}

TEST(Simulation, MicrobatchesInFlightAreThoseOfTheSchedule) {
  const auto peaks = [](const Schedule& schedule) {
    std::vector<std::int64_t> result;
    for (const RankTimeline& rank : simulate(schedule).ranks) result.push_back(rank.peak_in_flight);
    return result;
  };
  EXPECT_THAT(peaks(make_schedule(Kind::kGPipe, 4, 1, 8)), testing::ElementsAre(8, 8, 8, 8));
  EXPECT_THAT(peaks(make_schedule(Kind::k1F1B, 4, 1, 8)), testing::ElementsAre(4, 3, 2, 1));
  EXPECT_THAT(peaks(make_schedule(Kind::kZbvZeroBubble, 4, 2, 8)), testing::Each(8));
}

TEST(Simulation, TransfersOnlyCostBetweenRanks) {
  const Schedule v = make_schedule(Kind::kZbvZeroBubble, 1, 2, 2);
  EXPECT_EQ(simulate(v, {.transfer = 100}).makespan, simulate(v).makespan);
  const Schedule two = make_schedule(Kind::kGPipe, 2, 1, 1);
  EXPECT_EQ(simulate(two, {.transfer = 10}).makespan, simulate(two).makespan + 20);
}

TEST(Simulation, AStuckScheduleShowsWhoWaitsForWhom) {
  // Each rank has all of its actions, in orders that do not go together.
  const Schedule stuck = from_csv("0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n", {.ranks = 2}, 2);
  const std::string message = test::message_of<ConfigError>([&] { simulate(stuck); });
  EXPECT_THAT(message, HasSubstr("rank 0: 0B0 waits for 1B0 of rank 1"));
  EXPECT_THAT(message, HasSubstr("rank 1: 1F1 waits for 0F1 of rank 0"));
}

}  // namespace
}  // namespace titan::schedule
