#include "titan/tools/startup_times.h"

#include <gtest/gtest.h>

namespace titan::tools {
namespace {

TEST(StartupTimes, EveryMomentBelongsToAPhase) {
  double now = 100;
  StartupTimes times(0.25, [&] { return now; });
  now += 0.05;
  times.finish("config");
  now += 0.12;
  times.finish("model");
  now += 0.5;
  times.finish("data");
  now += 0.03;
  times.finish("model");
  now += 2;
  times.finish("first step");
  EXPECT_EQ(times.line(),
            "Start-up: config 0.30s, model 0.15s, data 0.50s, first step 2.00s, total 2.95s");
}

TEST(StartupTimes, CountsFromTheStartOfTheProcess) {
  StartupTimes times;
  times.finish("all");
  EXPECT_TRUE(times.line().starts_with("Start-up: all ")) << times.line();
}

}  // namespace
}  // namespace titan::tools
