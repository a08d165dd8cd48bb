#include "titan/base/patience.h"

#include <gtest/gtest.h>

namespace titan::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Patience, EndsWhenItsTimeIsOver) {
  const Patience::Clock::time_point begin;
  Patience patience(seconds(10), begin);
  for (int tenths = 1; tenths < 100; ++tenths) {
    ASSERT_FALSE(patience.is_over(begin + tenths * milliseconds(100))) << tenths;
  }
  EXPECT_TRUE(patience.is_over(begin + seconds(10)));
  EXPECT_TRUE(Patience(seconds(0), begin).is_over(begin));
}

TEST(Patience, TimeInWhichTheProcessWasSuspendedDoesNotCount) {
  const Patience::Clock::time_point begin;
  Patience patience(seconds(10), begin);
  EXPECT_FALSE(patience.is_over(begin + seconds(3600)));
  EXPECT_FALSE(patience.is_over(begin + seconds(7200)));
  Patience::Clock::time_point now = begin + seconds(7200);
  for (int tenths = 1; tenths < 80; ++tenths) {
    ASSERT_FALSE(patience.is_over(now += milliseconds(100))) << tenths;
  }
  EXPECT_TRUE(patience.is_over(now += milliseconds(100))) << "two seconds and eight";
}

TEST(Patience, IsAskedOftenAndInTime) {
  const Patience::Clock::time_point begin;
  Patience patience(milliseconds(300), begin);
  EXPECT_EQ(patience.until_next_question(), milliseconds(200));
  patience.is_over(begin + milliseconds(200));
  EXPECT_EQ(patience.until_next_question(), milliseconds(100));
  patience.is_over(begin + milliseconds(400));
  EXPECT_EQ(patience.until_next_question(), milliseconds(0));
}

}  // namespace
}  // namespace titan::base
