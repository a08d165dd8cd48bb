#include "comm/wait_limits.h"

#include <gtest/gtest.h>

#include <atomic>

namespace titan::comm::test {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

TEST(WaitLimits, AWaitThatLastsTooLongIsGivenUpOnce) {
  WaitLimits limits;
  std::atomic<int> given_up = 0;
  const auto begin = std::chrono::steady_clock::now();
  const WaitLimits::Guard guard = limits.guard(300ms, [&] { ++given_up; });
  while (given_up == 0 && std::chrono::steady_clock::now() - begin < 60s) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 300ms);
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(given_up, 1);
}

TEST(WaitLimits, AWaitThatIsOverIsNot) {
  std::atomic<int> given_up = 0;
  WaitLimits limits;
  {
    const WaitLimits::Guard outer = limits.guard(60s, [&] { ++given_up; });
    const WaitLimits::Guard inner = limits.guard(200ms, [&] { ++given_up; });
    std::this_thread::sleep_for(1ms);
  }
  std::this_thread::sleep_for(500ms);
  EXPECT_EQ(given_up, 0);
}

TEST(WaitLimits, EndsAtOnce) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 1'000; ++i) WaitLimits();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
}

}  // namespace
}  // namespace titan::comm::test
