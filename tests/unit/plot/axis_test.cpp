#include "titan/plot/axis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "titan/base/errors.h"

namespace titan::plot {
namespace {

using testing::ElementsAre;

std::vector<std::string> labels(Scale scale, double low, double high, int most = 7) {
  std::vector<std::string> labels;
  const Axis axis(scale, {low, high}, most);
  for (const Tick& tick : axis.ticks()) labels.push_back(tick.label);
  return labels;
}

TEST(Axis, LinearTicksAreRound) {
  EXPECT_THAT(labels(Scale::kLinear, 0, 10), ElementsAre("0", "2", "4", "6", "8", "10"));
  EXPECT_THAT(labels(Scale::kLinear, 2.31, 8.13), ElementsAre("2", "4", "6", "8", "10"));
}

TEST(Axis, LinearLabelsAreShort) {
  EXPECT_THAT(labels(Scale::kLinear, 0, 2000), ElementsAre("0", "500", "1000", "1500", "2000"));
  EXPECT_THAT(labels(Scale::kLinear, 0, 15000, 5), ElementsAre("0", "5k", "10k", "15k"));
  EXPECT_THAT(labels(Scale::kLinear, 0, 2.5e6, 4), ElementsAre("0", "1M", "2M", "3M"));
  EXPECT_THAT(labels(Scale::kLinear, 0, 0.0008, 5),
              ElementsAre("0", "2e-4", "4e-4", "6e-4", "8e-4"));
  EXPECT_THAT(labels(Scale::kLinear, -0.5, 0.5, 3), ElementsAre("-0.5", "0", "0.5"));
}

TEST(Axis, LogarithmicTicksAreDecadesOrWithin) {
  EXPECT_THAT(labels(Scale::kLog, 0.02, 30), ElementsAre("0.01", "0.1", "1", "10", "100"));
  EXPECT_THAT(labels(Scale::kLog, 1.5, 40), ElementsAre("1", "2", "5", "10", "20", "50"));
  EXPECT_THAT(labels(Scale::kLog, 3e-7, 2e5, 7),
              ElementsAre("1e-7", "1e-5", "1e-3", "0.1", "10", "1000", "100k", "10M"));
}

TEST(Axis, ASingleValueIsWidened) {
  for (const double value : {0.0, 1.0, -3.0, 1e30, 1e-30, 12345.678}) {
    const Axis axis(Scale::kLinear, {value, value}, 6);
    EXPECT_LT(axis.range().low, value);
    EXPECT_GT(axis.range().high, value);
  }
  const Axis axis(Scale::kLog, {5, 5}, 6);
  EXPECT_LT(axis.range().low, axis.range().high);
}

TEST(Axis, PositionsRunFromZeroToOne) {
  const Axis linear(Scale::kLinear, {0, 10}, 7);
  EXPECT_EQ(linear.position(0), 0);
  EXPECT_EQ(linear.position(5), 0.5);
  EXPECT_EQ(linear.position(10), 1);
  const Axis logarithmic(Scale::kLog, {1, 100}, 5);
  EXPECT_DOUBLE_EQ(logarithmic.position(10), 0.5);
}

/// What must hold for every axis.
void check(Scale scale, Range data, int most) {
  const Axis axis(scale, data, most);
  SCOPED_TRACE(concat("data ", data.low, " to ", data.high, ", at most ", most, " ticks"));
  EXPECT_LE(axis.range().low, data.low);
  EXPECT_GE(axis.range().high, data.high);
  const std::vector<Tick>& ticks = axis.ticks();
  EXPECT_GE(ticks.size(), 2U);
  EXPECT_LE(ticks.size(), static_cast<std::size_t>(most) + 2);
  std::set<std::string> labels;
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    EXPECT_TRUE(labels.insert(ticks[i].label).second) << ticks[i].label;
    EXPECT_TRUE(i == 0 || ticks[i].value > ticks[i - 1].value);
    const double position = axis.position(ticks[i].value);
    EXPECT_TRUE(position >= -1e-9 && position <= 1 + 1e-9) << position;
  }
  for (const double value : {data.low, data.high}) {
    const double position = axis.position(value);
    EXPECT_TRUE(position >= -1e-9 && position <= 1 + 1e-9) << position;
  }
}

TEST(Axis, CoversEveryRangeWithDifferentTicks) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(-29.9, 29.9);
  std::uniform_real_distribution<double> share(0, 1);
  for (int i = 0; i < 20000; ++i) {
    const double a = std::pow(10, exponent(random)) * (i % 3 == 0 ? -1 : 1);
    const double b = i % 2 == 0 ? a * (1 + std::pow(10, -12 * share(random)))
                                : std::pow(10, exponent(random)) * (i % 5 == 0 ? -1 : 1);
    const int most = 4 + i % 6;
    check(Scale::kLinear, {std::min(a, b), std::max(a, b)}, most);
    check(Scale::kLog, {std::min(std::abs(a), std::abs(b)), std::max(std::abs(a), std::abs(b))},
          most);
  }
  check(Scale::kLinear, {-1e30, 1e30}, 7);
  check(Scale::kLinear, {0, 9007199254740992.0}, 8);
}

TEST(ChooseScale, FitsTheValues) {
  EXPECT_EQ(choose_scale({8, 7, 6, 5, 4, 3}, 100), Scale::kLinear);
  EXPECT_EQ(choose_scale({1e-5, 1e-4, 1e-3, 1e-2, 1e-1}, 100), Scale::kLog);
  std::vector<double> spike(1000, 0.5);
  spike[500] = 200;
  EXPECT_EQ(choose_scale(spike, 100), Scale::kLog);
  spike[3] = 0;
  EXPECT_EQ(choose_scale(spike, 100), Scale::kLinear) << "zero has no logarithm";
  EXPECT_EQ(choose_scale({}, 100), Scale::kLinear);
}

}  // namespace
}  // namespace titan::plot
