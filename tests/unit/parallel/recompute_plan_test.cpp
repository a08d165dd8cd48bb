#include "titan/parallel/recompute_plan.h"

#include <gtest/gtest.h>

#include <random>

namespace titan::parallel {
namespace {

std::vector<Recomputable> random_results(std::uint32_t seed, std::int64_t unit) {
  std::mt19937 random(seed);
  std::vector<Recomputable> results;
  for (std::int64_t i = 0; i < 10; ++i) {
    const auto bytes = static_cast<std::int64_t>(1 + random() % 9) * unit;
    results.push_back({"op", i, bytes, static_cast<double>(1 + random() % 1000) / 8});
  }
  return results;
}

/// The most that any of all choices saves.
double most_saved(const std::vector<Recomputable>& results, std::int64_t most_bytes) {
  double most = 0;
  for (std::uint32_t choice = 0; choice < (1U << results.size()); ++choice) {
    std::int64_t bytes = 0;
    double seconds = 0;
    for (std::size_t i = 0; i < results.size(); ++i) {
      if ((choice >> i & 1U) == 0) continue;
      bytes += results[i].bytes;
      seconds += results[i].seconds;
    }
    if (bytes <= most_bytes) most = std::max(most, seconds);
  }
  return most;
}

double all_seconds(const std::vector<Recomputable>& results) {
  return trade_of(results, std::vector<bool>(results.size(), false)).seconds_again;
}

TEST(RecomputePlan, NoChoiceSavesMore) {
  for (std::uint32_t seed = 0; seed < 5; ++seed) {
    const auto results = random_results(seed, 4096);
    for (std::int64_t most = 0; most < 100 * 4096; most += 3 * 4096 + 1) {
      const Trade trade = trade_of(results, choose_kept(results, most));
      EXPECT_LE(trade.kept_bytes, most);
      EXPECT_EQ(all_seconds(results) - trade.seconds_again, most_saved(results, most)) << most;
    }
  }
}

TEST(RecomputePlan, MoreBytesAreUsedToComputeLess) {
  const auto results = random_results(7, 1000);
  Trade last = {-1, 1e9};
  for (std::int64_t most = 0; most <= 95'000; most += 500) {
    const Trade trade = trade_of(results, choose_kept(results, most));
    EXPECT_GE(trade.kept_bytes, last.kept_bytes) << most;
    EXPECT_LE(trade.seconds_again, last.seconds_again) << most;
    last = trade;
  }
  EXPECT_EQ(last.seconds_again, 0) << "all are kept in the end";
}

TEST(RecomputePlan, SizesWithoutACommonDivisorStayWithinTheBytes) {
  std::vector<Recomputable> results;
  for (std::int64_t i = 0; i < 60; ++i) {
    results.push_back({"op", i, 100'003 + 7 * i * i, 1.0 + static_cast<double>(i % 5)});
  }
  for (const std::int64_t most : {0LL, 99'999LL, 1'000'000LL, 3'333'333LL, 10'000'000LL}) {
    const Trade trade = trade_of(results, choose_kept(results, most));
    EXPECT_LE(trade.kept_bytes, most);
    EXPECT_GE(trade.kept_bytes, std::min<std::int64_t>(most, 6'000'000) - 150'000);
  }
}

TEST(RecomputePlan, OfNothingIsNothing) { EXPECT_TRUE(choose_kept({}, 100).empty()); }

}  // namespace
}  // namespace titan::parallel
