#include "titan/components/metrics/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

namespace titan::components {
namespace {

class ProgressTest : public testing::Test {
 protected:
  Progress progress(std::int64_t total) {
    return Progress(total, [this] { return now_; });
  }
  void finish(Progress& progress, std::int64_t first, std::int64_t last, double seconds) {
    for (std::int64_t step = first; step <= last; ++step) {
      now_ += seconds;
      progress.finish_step(step);
    }
  }
  double now_ = 500;
};

TEST_F(ProgressTest, OneStepTellsNothingOfThePace) {
  Progress run = progress(1000);
  EXPECT_EQ(run.text(48), "");
  finish(run, 1, 1, 60);
  EXPECT_EQ(run.seconds_left(), std::nullopt);
  EXPECT_EQ(run.text(48), "step 1/1000 0%");
}

TEST_F(ProgressTest, TheFirstStepsExtraTimeIsNotExpectedAgain) {
  Progress run = progress(1000);
  finish(run, 1, 1, 60);
  finish(run, 2, 10, 0.25);
  EXPECT_DOUBLE_EQ(run.seconds_left().value(), 990 * 0.25);
  EXPECT_EQ(run.text(48), "step 10/1000 1%  0.25 s/step  ETA 4m08s");
}

TEST_F(ProgressTest, FollowsAChangeOfPace) {
  Progress run = progress(1000);
  finish(run, 1, 100, 1);
  finish(run, 101, 200, 3);
  EXPECT_DOUBLE_EQ(run.seconds_left().value(), 800 * 3.0);
}

TEST_F(ProgressTest, AResumedRunStartsInTheMiddle) {
  Progress run = progress(1000);
  finish(run, 901, 903, 2);
  EXPECT_DOUBLE_EQ(run.seconds_left().value(), 97 * 2.0);
}

TEST_F(ProgressTest, ARunThatGoesBackForgetsThePaceOfBefore) {
  Progress run = progress(1000);
  finish(run, 1, 50, 1);
  finish(run, 20, 20, 1);
  EXPECT_EQ(run.seconds_left(), std::nullopt);
  finish(run, 21, 22, 4);
  EXPECT_DOUBLE_EQ(run.seconds_left().value(), 978 * 4.0);
}

TEST_F(ProgressTest, AtTheEndNothingIsLeft) {
  Progress run = progress(3);
  finish(run, 1, 3, 1);
  EXPECT_EQ(run.text(48), "step 3/3 100%  1 s/step  ETA 0s");
  finish(run, 4, 4, 1);
  EXPECT_EQ(run.seconds_left(), 0);
}

TEST_F(ProgressTest, NarrowTerminalsShowWhatMattersMost) {
  Progress run = progress(1000000);
  finish(run, 123450, 123456, 1.5);
  for (std::size_t width = 0; width <= 60; ++width) EXPECT_LE(run.text(width).size(), width);
  EXPECT_EQ(run.text(48), "step 123456/1000000 12%  1.5 s/step  ETA 15d05h");
  EXPECT_EQ(run.text(40), "step 123456/1000000 12%  ETA 15d05h");
  EXPECT_EQ(run.text(24), "step 123456/1000000 12%");
}

TEST(DurationText, ShowsTheTwoLargestUnits) {
  EXPECT_EQ(duration_text(0.4), "0s");
  EXPECT_EQ(duration_text(59.6), "1m00s");
  EXPECT_EQ(duration_text(192), "3m12s");
  EXPECT_EQ(duration_text(7500), "2h05m");
  EXPECT_EQ(duration_text(86400 * 4 + 3 * 3600), "4d03h");
  EXPECT_EQ(duration_text(1e300), "1000d00h");
  EXPECT_EQ(duration_text(-5), "0s");
}

TEST(StatusLine, LeavesTheCursorAtItsBeginningAndCleansUp) {
  std::array<int, 2> ends;
  ASSERT_EQ(pipe(ends.data()), 0);
  {
    StatusLine line(ends[1]);
    EXPECT_EQ(line.columns(), 48U) << "a terminal of unknown width";
    line.show("step 1/10");
    line.show(std::string(100, 'x'));
  }
  close(ends[1]);
  std::array<char, 256> bytes;
  const ssize_t count = read(ends[0], bytes.data(), bytes.size());
  close(ends[0]);
  EXPECT_EQ(std::string(bytes.data(), static_cast<std::size_t>(count)),
            "\rstep 1/10\033[K\r\r" + std::string(48, 'x') + "\033[K\r\r\033[K");
}

}  // namespace
}  // namespace titan::components
