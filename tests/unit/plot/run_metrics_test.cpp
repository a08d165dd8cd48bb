#include "titan/plot/run_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::plot {

bool operator==(const Point& a, const Point& b) { return a.step == b.step && a.value == b.value; }
void PrintTo(const Point& point, std::ostream* out) {
  *out << "(" << point.step << ", " << point.value << ")";
}

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RunMetricsTest : public testing::Test {
 protected:
  RunMetrics read(const std::string& text) {
    files_.create_directories(folder_ / "run");
    files_.open_for_writing(folder_ / "run/metrics.jsonl", true)->append(text);
    return read_run_metrics(files_, folder_ / "run");
  }
  base::FileSystem& files_ = base::posix_file_system();
  test::TemporaryFolder folder_;
};

TEST_F(RunMetricsTest, ReadsTrainingAndValidation) {
  const RunMetrics run = read(R"({"step": 1, "loss": 8.5, "grad_norm": 2, "lr": 0.1, "tps": 10})"
                              "\n"
                              R"({"step": 1, "validation_loss": 9, "tps": 99})"
                              "\n"
                              R"({"step": 2, "loss": 8, "grad_norm": null, "lr": 0.2, "tps": 20})"
                              "\n");
  EXPECT_EQ(run.name, "run");
  EXPECT_THAT(run.loss, ElementsAre(Point{1, 8.5}, Point{2, 8}));
  EXPECT_THAT(run.validation_loss, ElementsAre(Point{1, 9}));
  EXPECT_THAT(run.grad_norm, ElementsAre(Point{1, 2}));
  EXPECT_THAT(run.lr, ElementsAre(Point{1, 0.1}, Point{2, 0.2}));
  EXPECT_THAT(run.tps, ElementsAre(Point{1, 10}, Point{2, 20})) << "without that of validation";
  EXPECT_EQ(run.damaged_lines, 0);
}

TEST_F(RunMetricsTest, DamagedLinesAreCountedAndLeftOut) {
  const RunMetrics run = read("{\"step\": 1, \"loss\": 8}\n{\"step\": 2, \"lo\n\n\r\n[]\n" +
                              std::string(100'000, 'x') + "\n{\"step\": 3, \"loss\": 7}\n{\"step");
  EXPECT_THAT(run.loss, ElementsAre(Point{1, 8}, Point{3, 7}));
  EXPECT_EQ(run.damaged_lines, 4);
}

TEST_F(RunMetricsTest, AResumedRunReplacesWhatCameAfterItsCheckpoint) {
  const RunMetrics run = read(
      "{\"step\": 1, \"loss\": 8}\n{\"step\": 2, \"loss\": 7}\n{\"step\": 3, \"loss\": 6}\n"
      "{\"step\": 3, \"validation_loss\": 6.5}\n"
      "{\"step\": 2, \"loss\": 7.5}\n");
  EXPECT_THAT(run.loss, ElementsAre(Point{1, 8}, Point{2, 7.5}));
  EXPECT_THAT(run.validation_loss, ElementsAre());
}

TEST_F(RunMetricsTest, LinesAcrossTheBorderOfAChunkAreWhole) {
  std::string text;
  for (int step = 1; step <= 60'000; ++step)
    text += concat("{\"step\": ", step, ", \"loss\": 2.5}\n");
  EXPECT_GT(text.size(), 1U << 20);
  const RunMetrics run = read(text);
  EXPECT_EQ(run.loss.size(), 60'000U);
  EXPECT_EQ(run.damaged_lines, 0);
}

TEST_F(RunMetricsTest, TheFolderNamesTheRun) {
  read("{\"step\": 1, \"loss\": 8}\n");
  EXPECT_EQ(read_run_metrics(files_, folder_ / "run/metrics.jsonl").name, "run");
  EXPECT_EQ(read_run_metrics(files_, folder_ / "run/").name, "run");
  EXPECT_EQ(read_run_metrics(files_, folder_ / "run/../run/.").name, "run");
}

TEST_F(RunMetricsTest, WhatIsNoRunIsRefused) {
  EXPECT_THAT(test::message_of<RunError>([&] { read_run_metrics(files_, folder_ / "none"); }),
              HasSubstr("none'"));
  for (const char* text : {"", "\n", "{\"step\": 1}\n", "not json\n"}) {
    EXPECT_THAT(test::message_of<RunError>([&] { read(text); }),
                HasSubstr("run/metrics.jsonl' has no logged step (damaged lines: "));
  }
}

}  // namespace
}  // namespace titan::plot
