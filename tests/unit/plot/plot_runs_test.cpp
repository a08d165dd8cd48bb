#include "titan/plot/plot_runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::plot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PlotRunsTest : public testing::Test {
 protected:
  std::string run(const std::string& name, const std::string& text) {
    files_.create_directories(folder_ / name);
    files_.open_for_writing(folder_ / name + "/metrics.jsonl", true)->append(text);
    return folder_ / name;
  }
  std::string file(const std::string& path) { return base::read_whole_file(files_, path, 1 << 20); }

  test::FaultyFileSystem files_;
  test::TemporaryFolder folder_;
};

TEST_F(PlotRunsTest, ThePictureLiesInTheFirstRunsFolder) {
  const std::string runs[] = {run("a", "{\"step\": 1, \"loss\": 2}\n"),
                              run("b", "{\"step\": 1, \"loss\": 3}\n{\"st") + "/metrics.jsonl"};
  const PlotResult result = plot_runs(files_, runs, std::nullopt);
  EXPECT_EQ(result.path, folder_ / "a/plot.svg");
  EXPECT_THAT(result.warnings,
              ElementsAre("'" + folder_.path() + "/b/metrics.jsonl': 1 damaged line left out"));
  EXPECT_THAT(file(result.path), HasSubstr("2 runs"));
}

TEST_F(PlotRunsTest, OrWhereItIsWanted) {
  const std::string runs[] = {run("a", "{\"step\": 1, \"loss\": 2}\n")};
  EXPECT_EQ(plot_runs(files_, runs, folder_ / "x.svg").path, folder_ / "x.svg");
  EXPECT_THAT(file(folder_ / "x.svg"), testing::EndsWith("</svg>\n"));
}

TEST_F(PlotRunsTest, RunsOfTheSameNameAreToldApartByTheirPaths) {
  const std::string runs[] = {run("1/out", "{\"step\": 1, \"loss\": 2}\n"),
                              run("2/out", "{\"step\": 1, \"loss\": 3}\n")};
  const std::string picture = file(plot_runs(files_, runs, std::nullopt).path);
  EXPECT_THAT(picture, HasSubstr("<title>" + runs[0]));
  EXPECT_THAT(picture, HasSubstr("<title>" + runs[1]));
}

TEST_F(PlotRunsTest, AFailedCallLeavesNoHalfPicture) {
  const std::string runs[] = {run("a", "{\"step\": 1, \"loss\": 2}\n")};
  for (int call = 1;; ++call) {
    const int before = files_.calls();
    files_.fail_call(call, EIO);
    try {
      plot_runs(files_, runs, std::nullopt);
      EXPECT_LT(files_.calls() - before, call);
      break;
    } catch (const RunError& error) {
      EXPECT_THAT(error.what(), HasSubstr("Input/output error"));
    }
    files_.repair();
    EXPECT_FALSE(files_.exists(folder_ / "a/plot.svg") &&
                 !file(folder_ / "a/plot.svg").ends_with("</svg>\n"));
  }
}

}  // namespace
}  // namespace titan::plot
