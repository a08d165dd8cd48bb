#include "titan/plot/figure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <random>
#include <string>

#include "support/temporary_folder.h"
#include "titan/base/file_system.h"

namespace titan::plot {
namespace {

using testing::HasSubstr;
using testing::Not;

RunMetrics run_of(const std::string& name, int steps) {
  RunMetrics run;
  run.name = name;
  for (int i = 1; i <= steps; ++i) {
    const double step = i;
    run.loss.push_back({step, 2 + 6.0 / i});
    run.grad_norm.push_back({step, 0.5 + 1.0 / i});
    run.lr.push_back({step, 1e-3 * std::min(1.0, step / 4)});
    run.tps.push_back({step, i == 1 ? 900.0 : 8000.0});
    if (i % 4 == 0) run.validation_loss.push_back({step, 2.5 + 6.0 / i});
  }
  return run;
}

// After a wanted change, look at the picture and copy it: the path is in the message.
TEST(Figure, IsThePictureWeLookedAt) {
  RunMetrics second = run_of("lr <1e-3> & more", 8);
  second.damaged_lines = 2;
  const RunMetrics runs[] = {run_of("debug model", 12), second};
  const std::string picture = draw_figure(runs);
  base::FileSystem& files = base::posix_file_system();
  const std::string golden = std::string(TITAN_SOURCE_DIR) + "/tests/unit/plot/two_runs.svg";
  const std::string drawn = testing::TempDir() + "two_runs.svg";
  base::write_file_atomically(files, drawn, picture);
  EXPECT_TRUE(base::read_whole_file(files, golden, 1 << 20) == picture)
      << "the picture has changed: compare " << drawn << " with " << golden;
}

TEST(Figure, NamesAreText) {
  const RunMetrics runs[] = {run_of("<script>alert(1)</script>", 3)};
  EXPECT_THAT(draw_figure(runs), Not(HasSubstr("<script")));
}

TEST(Figure, OnePointOfOneCurveIsEnough) {
  RunMetrics run;
  run.name = "one";
  run.loss = {{1, 7.5}};
  const std::string picture = draw_figure({&run, 1});
  EXPECT_THAT(picture, HasSubstr("step 1: 7.5</title>"));
  EXPECT_THAT(picture, HasSubstr("not logged"));
}

TEST(Figure, HostileCurvesGiveNumbersOnly) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-320, 30);
  for (int round = 0; round < 300; ++round) {
    RunMetrics run;
    run.name = "hostile";
    double step = 0;
    for (int i = 0; i < 1 + round % 60; ++i) {
      step += 1 + std::floor(std::pow(10.0, exponent(random) / 3));
      if (step > 9e15) break;
      const auto value = [&] {
        const double size = std::pow(10.0, exponent(random));
        return random() % 5 == 0 ? 0.0 : random() % 4 == 0 ? -size : size;
      };
      run.loss.push_back({step, value()});
      run.validation_loss.push_back({step, value()});
      run.grad_norm.push_back({step, std::abs(value())});
      run.lr.push_back({step, 1e30});
      run.tps.push_back({step, value()});
    }
    const std::string picture = draw_figure({&run, 1});
    for (const char* bad : {"nan", "inf", "NaN", "Inf"}) EXPECT_THAT(picture, Not(HasSubstr(bad)));
  }
}

TEST(Figure, AMillionStepsMakeASmallPictureQuickly) {
  RunMetrics run = run_of("long", 1'000'000);
  std::mt19937_64 random(5);
  for (Point& point : run.loss) point.value += 1e-3 * static_cast<double>(random() % 1000);
  const auto start = std::chrono::steady_clock::now();
  const std::string picture = draw_figure({&run, 1});
  EXPECT_LT(picture.size(), 400'000U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Figure, ManyRunsHaveARowEachForTwo) {
  std::vector<RunMetrics> runs;
  for (int i = 0; i < 25; ++i) runs.push_back(run_of("run " + std::to_string(i), 5));
  const std::string picture = draw_figure(runs);
  for (const RunMetrics& run : runs)
    EXPECT_THAT(picture, HasSubstr(">" + run.name + " \u00b7 loss"));
}

}  // namespace
}  // namespace titan::plot
