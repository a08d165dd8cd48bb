#include "profiling/trace_schedule.h"

#include <gtest/gtest.h>

namespace titan::profiling {
namespace {

TraceSchedule schedule(std::int64_t cycle, std::int64_t warmup, std::int64_t active) {
  config::Profiling config;
  config.profile_freq = cycle;
  config.profiler_warmup = warmup;
  config.profiler_active = active;
  return TraceSchedule(config);
}

/// The first `steps` phases as letters: wait, up (warm), record.
std::string phases(const TraceSchedule& schedule, int steps) {
  std::string text;
  for (int step = 0; step < steps; ++step) {
    text += "wur"[static_cast<int>(schedule.phase(step))];
  }
  return text;
}

TEST(TraceSchedule, WaitsWarmsUpAndRecordsForEver) {
  EXPECT_EQ(phases(TraceSchedule(config::Profiling()), 22), "wwwwwwuuurwwwwwwuuurww");
  EXPECT_EQ(phases(schedule(5, 1, 2), 12), "wwurrwwurrww");
}

TEST(TraceSchedule, NeedsNeitherWaitNorWarmUp) {
  EXPECT_EQ(phases(schedule(3, 0, 3), 7), "rrrrrrr");
  EXPECT_EQ(phases(schedule(3, 2, 1), 7), "uuruuru");
  EXPECT_EQ(phases(schedule(1, 0, 1), 3), "rrr");
}

TEST(TraceSchedule, ACycleEndsAtAMultipleOfItsLength) {
  const TraceSchedule tens{config::Profiling()};
  EXPECT_EQ(tens.end_of_cycle(0), 10);
  EXPECT_EQ(tens.end_of_cycle(9), 10);
  EXPECT_EQ(tens.end_of_cycle(10), 20);
}

TEST(TraceSchedule, RefusesWhatValidationShouldHaveRefused) {
  EXPECT_THROW(schedule(3, 3, 1), InternalError);
}

}  // namespace
}  // namespace titan::profiling
