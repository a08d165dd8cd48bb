// What tests/bench/side_by_side.py --json writes, as bars.
#include "titan/plot/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/plot/plot_runs.h"

namespace titan::plot {
namespace {

using testing::HasSubstr;

/// Two jobs, ours and two others: figures of one kind, all alternations alike.
constexpr const char* kMeasured = R"([
 {"case": "debug", "layout": "one", "dtype": "fp32", "threads": 2, "rows": 1, "tokens": 2048,
  "figures": {"fast paths": {"tokens/s": {"median": 9000, "least": 8000, "most": 9500}},
              "original eager": {"tokens/s": {"median": 3000, "least": 3000, "most": 3000}},
              "original compiled": {"tokens/s": {"median": 4500, "least": 4500, "most": 45001}}},
  "ratios": {"original eager": {"tokens/s": {"median": 3, "least": 2.5, "most": 3.25}},
             "original compiled": {"tokens/s": {"median": 2, "least": 1.75, "most": 2.125}}}},
 {"case": "88m", "layout": "tp2", "dtype": "bf16", "threads": 1, "rows": 1, "tokens": 512,
  "figures": {"fast paths": {"tokens/s": {"median": 200, "least": 200, "most": 200}},
              "original eager": {"tokens/s": {"median": 100, "least": 100, "most": 100}},
              "original compiled": {"tokens/s": {"median": 50, "least": 50, "most": 50}}},
  "ratios": {"original eager": {"tokens/s": {"median": 2, "least": 2, "most": 2}},
             "original compiled": {"tokens/s": {"median": 4, "least": 4, "most": 4}}}}
])";

class Comparison : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) {
    base::write_file_atomically(files_, folder_ / name, text);
    return folder_ / name;
  }
  std::string picture(const std::string& path) {
    return base::read_whole_file(files_, plot_runs(files_, {&path, 1}, std::nullopt).path, 1 << 20);
  }

  base::FileSystem& files_ = base::posix_file_system();
  test::TemporaryFolder folder_;
};

/// How long the bars are, in pixels, in order.
std::vector<double> bars(const std::string& picture) {
  const std::regex bar("<rect [^>]*width=\"([0-9.]+)\"[^>]*>\\s*<title>");
  std::vector<double> widths;
  for (std::sregex_iterator at(picture.begin(), picture.end(), bar), end; at != end; ++at) {
    widths.push_back(std::stod((*at)[1]));
  }
  return widths;
}

TEST_F(Comparison, BarsAreAsLongAsFiguresBesideThoseOfTheFirstOther) {
  const std::string picture = this->picture(file("speed.json", kMeasured));
  const std::vector<double> widths = bars(picture);
  ASSERT_EQ(widths.size(), 6U);
  const double unit = widths[1];
  EXPECT_GT(unit, 50);
  const double most = 0.1 / unit;  // one decimal of a pixel
  EXPECT_NEAR(widths[0] / unit, 3, 4 * most);
  EXPECT_NEAR(widths[2] / unit, 1.5, 4 * most);
  EXPECT_NEAR(widths[3] / unit, 2, 4 * most);
  EXPECT_NEAR(widths[4] / unit, 1, 4 * most);
  EXPECT_NEAR(widths[5] / unit, 0.5, 4 * most);
  for (const char* text : {"tokens/s, times that of original eager", "debug, one, fp32, 2 threads",
                           "88m, tp2, bf16, 1 thread<", ">9000<", "4500; ratio 2 (1.75 to 2.125)",
                           "100; ratio 2 (2 to 2)", "4500 (4500 to 45001)"}) {
    EXPECT_THAT(picture, HasSubstr(text));
  }
}

TEST_F(Comparison, ThePictureLiesBesideTheFigures) {
  const std::string path = file("speed.json", kMeasured);
  EXPECT_EQ(plot_runs(files_, {&path, 1}, std::nullopt).path, folder_ / "speed.svg");
  EXPECT_EQ(plot_runs(files_, {&path, 1}, folder_ / "x.svg").path, folder_ / "x.svg");
}

TEST_F(Comparison, IsDrawnAlone) {
  const std::string paths[] = {file("metrics.jsonl", "{\"step\": 1, \"loss\": 2}\n"),
                               file("speed.json", kMeasured)};
  EXPECT_THAT(test::message_of<RunError>([&] { plot_runs(files_, paths, std::nullopt); }),
              HasSubstr("speed.json' is a comparison, which is drawn alone"));
}

TEST_F(Comparison, WhatIsNoneIsRefusedWithItsName) {
  const std::string whole = kMeasured;
  const auto without = [&](const std::string& part, const std::string& other) {
    return std::string(whole).replace(whole.find(part), part.size(), other);
  };
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"), std::string("[1]"),
        std::string("[{\"figures\": {}}]"), whole.substr(0, whole.size() / 2),
        without("\"median\": 9000", "\"median\": null"), without("9000", "1e300"),
        without("\"original eager\": {\"tokens/s\": {\"median\": 100",
                "\"other\": {\"tokens/s\": {\"median\": 100"),
        without("\"ratios\"", "\"rations\"")}) {
    const std::string path = file("speed.json", text);
    EXPECT_THAT(test::message_of<RunError>([&] { read_comparison(files_, path); }),
                HasSubstr("speed.json' is not what tests/bench/side_by_side.py --json writes: "))
        << text;
  }
}

}  // namespace
}  // namespace titan::plot
