#include "text/sources/row_order.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <string>

namespace titan::text {
namespace {

struct Text {
  std::string text;
  std::size_t bytes() const { return text.size(); }
};

// Texts of 100 KB, so that a group holds about 42 of them.
class RowOrderTest : public ::testing::Test {
 protected:
  std::vector<int> read(std::int64_t unit, std::optional<std::uint64_t> seed, int skip = 0) {
    int made = 0;
    const auto make = [&](Text& text) {
      if (made == count_) return false;
      text.text = std::to_string(made++);
      text.text.resize(size_, ' ');
      return true;
    };
    order_.begin(unit, seed);
    EXPECT_EQ(order_.skip(skip, make), skip);
    std::vector<int> numbers;
    while (const Text* text = order_.next(make)) numbers.push_back(std::stoi(text->text));
    return numbers;
  }

  RowOrder<Text> order_;
  int count_ = 200;
  std::size_t size_ = 100'000;
};

TEST_F(RowOrderTest, WithoutASeedRowsComeAsTheyAre) {
  std::vector<int> expected(200);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(read(0, std::nullopt), expected);
}

TEST_F(RowOrderTest, AnOrderHoldsEveryRowOnceAndFollowsFromSeedAndUnitAlone) {
  const std::vector<int> order = read(3, 7);
  std::vector<int> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, read(0, std::nullopt));
  EXPECT_NE(order, sorted);
  EXPECT_EQ(read(3, 7), order);
  EXPECT_NE(read(3, 8), order);
  EXPECT_NE(read(4, 7), order);
}

TEST_F(RowOrderTest, OnlyRowsOfAGroupChangePlaces) {
  const std::vector<int> order = read(0, 1);
  const int group = (4 << 20) / (100'000 + 64) + 1;
  for (int i = 0; i < count_; ++i) EXPECT_EQ(order[i] / group, i / group);
  // Groups differ in their orders.
  std::vector<int> first(order.begin(), order.begin() + group);
  std::vector<int> second;
  for (int i = group; i < 2 * group; ++i) second.push_back(order[i] - group);
  EXPECT_NE(first, second);
}

TEST_F(RowOrderTest, SkippingIsReadingOn) {
  const std::vector<int> order = read(5, 9);
  for (const int skip : {0, 1, 41, 42, 43, 100, 199, 200}) {
    EXPECT_EQ(read(5, 9, skip), std::vector<int>(order.begin() + skip, order.end()));
  }
}

TEST_F(RowOrderTest, ARowLargerThanAGroupIsAGroup) {
  count_ = 3;
  size_ = 5 << 20;
  EXPECT_EQ(read(0, 1), (std::vector<int>{0, 1, 2}));
}

TEST_F(RowOrderTest, AllOrdersOfAGroupAreAboutAsLikely) {
  count_ = 3;
  size_ = 10;
  std::map<std::vector<int>, int> seen;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) ++seen[read(0, seed)];
  EXPECT_EQ(seen.size(), 6u);
  // 1000 each, standard deviation 29.
  for (const auto& [order, times] : seen) EXPECT_NEAR(times, 1000, 150);
}

// Written down, so that a checkpoint of today is continued in the same order by what is built
// tomorrow.
TEST_F(RowOrderTest, TheOrderNeverChanges) {
  count_ = 10;
  size_ = 10;
  EXPECT_EQ(read(17, 42), (std::vector<int>{3, 8, 0, 4, 2, 7, 5, 9, 6, 1}));
}

TEST(SplitMix64Test, GivesThePublishedNumbers) {
  SplitMix64 random(1234567);
  EXPECT_EQ(random.next(), 6457827717110365317u);
  EXPECT_EQ(random.next(), 3203168211198807973u);
  EXPECT_EQ(random.next(), 9817491932198370423u);
}

}  // namespace
}  // namespace titan::text
