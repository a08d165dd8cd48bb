#include "titan/schedule/stage_split.h"

#include <gtest/gtest.h>

#include <numeric>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::schedule {
namespace {

/// As the reference's tests write it: T,0,1 | 2,N,O.
std::string text_of(const std::vector<std::vector<std::string>>& stages) {
  std::string result;
  for (const auto& modules : stages) {
    if (!result.empty()) result += " | ";
    bool first = true;
    for (const std::string& name : modules) {
      if (!std::exchange(first, false)) result += ",";
      if (name.starts_with("layers.")) {
        result += name.substr(7);
      } else {
        result += name == "tok_embeddings" ? "T" : name == "norm" ? "N" : "O";
      }
    }
  }
  return result;
}

struct Split {
  std::int64_t stages;
  std::int64_t layers;
  SplitWeights weights;
  const char* expected;
};

class StageSplit : public ::testing::TestWithParam<Split> {};

TEST_P(StageSplit, IsTheReferences) {
  const auto& [stages, layers, weights, expected] = GetParam();
  EXPECT_EQ(text_of(split_layers(stages, layers, weights)), expected);
}

INSTANTIATE_TEST_SUITE_P(
    Reference, StageSplit,
    ::testing::Values(
        Split{2, 6, {1, 1}, "T,0,1,2 | 3,4,5,N,O"}, Split{4, 6, {1, 1}, "T,0 | 1,2 | 3,4 | 5,N,O"},
        Split{8, 6, {1, 1}, "T | 0 | 1 | 2 | 3 | 4 | 5 | N,O"},
        Split{2, 3, {2, 2}, "T,0,1 | 2,N,O"}, Split{3, 7, {1, 1}, "T,0,1 | 2,3,4 | 5,6,N,O"},
        Split{4, 16, {1, 1}, "T,0,1,2,3 | 4,5,6,7,8 | 9,10,11,12 | 13,14,15,N,O"},
        Split{8,
              32,
              {1, 1},
              "T,0,1,2,3 | 4,5,6,7,8 | 9,10,11,12 | 13,14,15,16 | 17,18,19,20 | 21,22,23,24 | "
              "25,26,27,28 | 29,30,31,N,O"},
        Split{4, 6, {0, 0}, "T,0,1 | 2,3 | 4 | 5,N,O"}, Split{2, 6, {0, 1}, "T,0,1,2,3 | 4,5,N,O"},
        Split{4, 6, {2, 1}, "T,0 | 1,2 | 3,4 | 5,N,O"},
        Split{4,
              27,
              {1, 1},
              "T,0,1,2,3,4,5,6 | 7,8,9,10,11,12,13 | 14,15,16,17,18,19,20 | "
              "21,22,23,24,25,26,N,O"},
        Split{1, 2, {1, 1}, "T,0,1,N,O"}));

TEST(StageSplits, WhatCannotBeSplitIsRefused) {
  const auto message = [](std::int64_t stages, std::int64_t layers, SplitWeights weights) {
    return test::message_of<ConfigError>([&] { split_layers(stages, layers, weights); });
  };
  EXPECT_NE(message(9, 6, {1, 1}).find("are enough for 8"), std::string::npos);
  EXPECT_NE(message(0, 6, {1, 1}).find("at least one stage"), std::string::npos);
  EXPECT_NE(message(4, 6, {3, 1}).find("first_stage_less_layers (3) exceeds the least"),
            std::string::npos);
  EXPECT_NE(message(4, 6, {1, 3}).find("last_stage_less_layers (3) exceeds the least"),
            std::string::npos);
}

}  // namespace
}  // namespace titan::schedule
