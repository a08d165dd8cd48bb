#include "titan/pipeline/timeline.h"

#include <gtest/gtest.h>

#include <thread>

namespace titan::pipeline {
namespace {

using schedule::Interval;
using schedule::Op;

TEST(Stopwatch, MeasuresInMilliseconds) {
  Stopwatch stopwatch(at::kCPU);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  stopwatch.begin({1, Op::kForward, 2});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  stopwatch.end();
  stopwatch.begin({1, Op::kBackward, 2});
  stopwatch.end();
  const std::vector<Interval> intervals = stopwatch.intervals();
  ASSERT_EQ(intervals.size(), 2u);
  EXPECT_EQ(schedule::text(intervals[0].action), "1F2");
  EXPECT_GE(intervals[0].begin, 5);
  EXPECT_GE(intervals[0].end - intervals[0].begin, 20);
  EXPECT_LT(intervals[0].end, 20'000);
  EXPECT_GE(intervals[1].begin, intervals[0].end);
}

/// Two ranks, of which the second begins 10 ms later and ends first.
schedule::Timeline example() {
  return timeline_of({{{{0, Op::kForward, 0}, 5, 15},
                       {{0, Op::kForward, 1}, 15, 27},
                       {{0, Op::kInputGradient, 0}, 40, 50},
                       {{0, Op::kWeightGradient, 0}, 50, 54}},
                      {{{1, Op::kForward, 0}, 15, 27}, {{1, Op::kInputGradient, 0}, 27, 39}}});
}

TEST(MeasuredTimeline, BeginsWithTheFirstComputation) {
  const schedule::Timeline timeline = example();
  EXPECT_DOUBLE_EQ(timeline.makespan, 49);
  EXPECT_DOUBLE_EQ(timeline.ranks[0].intervals[0].begin, 0);
  EXPECT_DOUBLE_EQ(timeline.ranks[1].intervals[0].begin, 10);
  EXPECT_DOUBLE_EQ(timeline.ranks[0].busy, 10 + 12 + 10 + 4);
  EXPECT_DOUBLE_EQ(timeline.ranks[1].busy, 24);
  EXPECT_DOUBLE_EQ(timeline.bubble(), 1 - 60.0 / 98);
  EXPECT_EQ(timeline.ranks[0].peak_in_flight, 2);
  EXPECT_EQ(timeline.ranks[1].peak_in_flight, 1);
}

TEST(MeasuredTimeline, MeansAreOfEveryKind) {
  const schedule::Times halves = mean_times(example());
  EXPECT_DOUBLE_EQ(halves.forward, (10 + 12 + 12) / 3.0);
  EXPECT_DOUBLE_EQ(halves.input_gradient, 11);
  EXPECT_DOUBLE_EQ(halves.weight_gradient, 4);
  EXPECT_DOUBLE_EQ(halves.transfer, 0);
  const schedule::Times whole =
      mean_times(timeline_of({{{{0, Op::kForward, 0}, 0, 3}, {{0, Op::kBackward, 0}, 4, 12}}}));
  EXPECT_DOUBLE_EQ(whole.forward, 3);
  EXPECT_DOUBLE_EQ(whole.input_gradient + whole.weight_gradient, 8);
}

}  // namespace
}  // namespace titan::pipeline
