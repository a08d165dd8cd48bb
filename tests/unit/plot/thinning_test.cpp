#include "titan/plot/thinning.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace titan::plot {
namespace {

Curve noisy_curve(int size, double noise) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal(0, noise);
  Curve curve;
  for (int step = 1; step <= size; ++step) {
    curve.push_back({static_cast<double>(step),
                     2 + 6 * std::exp(-3.0 * step / size) + (noise > 0 ? normal(random) : 0)});
  }
  return curve;
}

double lowest(const Curve& curve) {
  return std::ranges::min_element(curve, {}, &Point::value)->value;
}
double highest(const Curve& curve) {
  return std::ranges::max_element(curve, {}, &Point::value)->value;
}

TEST(Thinned, AShortCurveIsUnchanged) {
  EXPECT_EQ(thinned(noisy_curve(400, 1), 1, 400, 100).size(), 400U);
}

TEST(Thinned, ALongCurveKeepsItsExtremesAndItsOrder) {
  Curve curve = noisy_curve(100'000, 0.1);
  curve[77'777].value = 1000;
  curve[12'345].value = -1000;
  const Curve few = thinned(curve, 1, 100'000, 500);
  EXPECT_LE(few.size(), 2000U);
  EXPECT_EQ(highest(few), 1000);
  EXPECT_EQ(lowest(few), -1000);
  EXPECT_EQ(few.front().step, 1);
  EXPECT_EQ(few.back().step, 100'000);
  EXPECT_TRUE(std::ranges::is_sorted(few, std::less_equal<>(), &Point::step));
}

TEST(Thinned, CurvesFarOutsideTheColumnsStayBounded) {
  EXPECT_LE(thinned(noisy_curve(100'000, 1), 50'000, 50'001, 10).size(), 40U);
}

TEST(Smoothed, ASlopeStaysWhereItIs) {
  Curve line;
  for (int step = 0; step <= 1000; ++step) line.push_back({static_cast<double>(step), 3.0 * step});
  for (const Point& point : smoothed(line, 0, 1000, 200)) {
    EXPECT_NEAR(point.value, 3 * point.step, 1e-9 + 16) << "within a column";
  }
}

TEST(Smoothed, RemovesNoiseAndSpikes) {
  Curve curve = noisy_curve(20'000, 0.2);
  curve[10'000].value = 500;
  const Curve smooth = smoothed(curve, 1, 20'000, 250);
  EXPECT_LE(smooth.size(), 250U);
  for (const Point& point : smooth) {
    EXPECT_NEAR(point.value, 2 + 6 * std::exp(-3.0 * point.step / 20'000), 0.15);
  }
}

TEST(IsNoisy, TellsNoiseFromASlope) {
  const Curve calm = noisy_curve(2000, 0);
  EXPECT_FALSE(is_noisy(calm, smoothed(calm, 1, 2000, 250)));
  const Curve noisy = noisy_curve(2000, 0.2);
  EXPECT_TRUE(is_noisy(noisy, smoothed(noisy, 1, 2000, 250)));
  const Curve few = noisy_curve(20, 0.2);
  EXPECT_FALSE(is_noisy(few, smoothed(few, 1, 20, 250)));
  EXPECT_FALSE(is_noisy({}, {}));
}

}  // namespace
}  // namespace titan::plot
