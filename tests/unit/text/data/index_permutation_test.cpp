#include "text/data/index_permutation.h"

#include <gtest/gtest.h>

#include <vector>

namespace titan::text {
namespace {

std::vector<std::int64_t> order_of(std::int64_t count, std::uint64_t seed) {
  const IndexPermutation permutation(count, seed);
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < count; ++i) order.push_back(permutation(i));
  return order;
}

TEST(IndexPermutation, HasEveryIndexOnce) {
  for (std::int64_t count = 1; count < 300; ++count) {
    std::vector<bool> seen(static_cast<std::size_t>(count));
    for (const std::int64_t index : order_of(count, 17)) {
      ASSERT_GE(index, 0);
      ASSERT_LT(index, count);
      ASSERT_FALSE(seen[static_cast<std::size_t>(index)]);
      seen[static_cast<std::size_t>(index)] = true;
    }
  }
}

TEST(IndexPermutation, FollowsFromTheSeedAlone) {
  // Positions in checkpoints rely on these: they never change.
  EXPECT_EQ(order_of(10, 0), order_of(10, 0));
  EXPECT_NE(order_of(1000, 0), order_of(1000, 1));
  EXPECT_EQ(IndexPermutation(1'000'000'000'000, 42)(0), IndexPermutation(1'000'000'000'000, 42)(0));
}

TEST(IndexPermutation, MixesWell) {
  // The mean distance of neighbours in a random order of n is n / 3.
  constexpr std::int64_t kCount = 10'000;
  const auto order = order_of(kCount, 5);
  double distance = 0;
  std::int64_t rising = 0;
  for (std::size_t i = 1; i < order.size(); ++i) {
    distance += static_cast<double>(std::abs(order[i] - order[i - 1])) / kCount;
    rising += order[i] > order[i - 1];
  }
  EXPECT_NEAR(distance / kCount, 1.0 / 3, 0.02);
  EXPECT_NEAR(static_cast<double>(rising) / kCount, 0.5, 0.02);
}

}  // namespace
}  // namespace titan::text
