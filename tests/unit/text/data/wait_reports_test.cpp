#include "text/data/wait_reports.h"

#include <gtest/gtest.h>

namespace titan::text {
namespace {

std::string output_of(auto action) {
  testing::internal::CaptureStdout();
  action();
  return testing::internal::GetCapturedStdout();
}

TEST(WaitReports, AStallIsReportedWhileItLastsEverMoreRarely) {
  WaitReports reports("shelf", 30);
  EXPECT_EQ(reports.seconds_to_next(), 30);
  EXPECT_NE(
      output_of([&] { reports.still_waiting(30); }).find("for 30 s there was no batch from shelf"),
      std::string::npos);
  EXPECT_EQ(reports.seconds_to_next(), 30);
  output_of([&] { reports.still_waiting(60); });
  EXPECT_EQ(reports.seconds_to_next(), 60);
  EXPECT_NE(output_of([&] { reports.arrived(70, 1000); }).find("after a stall of 70 s"),
            std::string::npos);
  EXPECT_EQ(reports.seconds_to_next(), 30);
}

TEST(WaitReports, SlowDataIsReportedEveryHundredBatches) {
  WaitReports reports("shelf", 30);
  double now = 0;
  const auto batches = [&](int count, double waited, double step) {
    return output_of([&] {
      for (int i = 0; i < count; ++i) reports.arrived(waited, now += waited + step);
    });
  };
  EXPECT_EQ(batches(99, 0.25, 0.75), "");
  EXPECT_NE(batches(1, 0.25, 0.75).find("waiting for shelf took 25 % of the time"),
            std::string::npos);
  EXPECT_EQ(batches(200, 0.001, 0.999), "");
}

}  // namespace
}  // namespace titan::text
