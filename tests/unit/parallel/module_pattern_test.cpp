#include "titan/parallel/module_pattern.h"

#include <gtest/gtest.h>

#include "titan/nn/linear.h"

namespace titan::parallel {
namespace {

TEST(ModulePattern, AStarIsOnePartOfAName) {
  EXPECT_TRUE(matches_pattern("layers.3.attention.wq", "layers.*.attention.wq"));
  EXPECT_TRUE(matches_pattern("norm", "norm"));
  EXPECT_FALSE(matches_pattern("layers.3.attention.wq", "layers.*"));
  EXPECT_FALSE(matches_pattern("layers", "layers.*"));
  EXPECT_FALSE(matches_pattern("norms", "norm"));
  EXPECT_TRUE(matches_pattern("", ""));
}

TEST(ModulePattern, FindsModulesInTheirOrder) {
  nn::ModuleList list;
  for (int i = 0; i < 11; ++i) list.append(std::make_unique<nn::Linear>(2, 2, at::kFloat));
  const auto found = modules_matching(list, "*");
  ASSERT_EQ(found.size(), 11U);
  EXPECT_EQ(found[10].first, "10");
  EXPECT_TRUE(modules_matching(list, "*.weight").empty());
}

}  // namespace
}  // namespace titan::parallel
