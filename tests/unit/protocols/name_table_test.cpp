#include "titan/protocols/name_table.h"

#include <gtest/gtest.h>

namespace titan::protocols {
namespace {

const std::vector<NameRule> kRules = {
    {"model.layers.{}.up.weight", "layers.{}.w3.weight"},
    {"embed.weight", "tok.weight"},
    {"model.layers.{}.inv_freq", ""},
    {"model.layers.{}.experts.{}.up.weight", "layers.{}.experts.w3"},
};

TEST(NameTable, TranslatesBothWays) {
  const auto theirs = name_in_hf(kRules, "layers.10.w3.weight");
  ASSERT_TRUE(theirs);
  EXPECT_EQ(theirs->name, "model.layers.10.up.weight");
  EXPECT_EQ(theirs->rule, 0U);
  EXPECT_EQ(name_in_ours(kRules, theirs->name)->name, "layers.10.w3.weight");
  EXPECT_EQ(name_in_hf(kRules, "tok.weight")->name, "embed.weight");
  EXPECT_EQ(name_in_ours(kRules, "model.layers.3.inv_freq")->name, "");
}

TEST(NameTable, KeepsThePlaceOfANumberThatOnlyTheOtherSideHas) {
  EXPECT_EQ(name_in_hf(kRules, "layers.4.experts.w3")->name, "model.layers.4.experts.{}.up.weight");
  const auto ours = name_in_ours(kRules, "model.layers.4.experts.31.up.weight");
  ASSERT_TRUE(ours);
  EXPECT_EQ(ours->name, "layers.4.experts.w3");
  EXPECT_EQ(ours->numbers, (std::vector<std::string>{"4", "31"}));
  EXPECT_FALSE(name_in_ours(kRules, "model.layers.4.experts.03.up.weight"));
}

/// One tensor has one name: "007" and "7" would be the same.
TEST(NameTable, KnowsNothingElse) {
  for (const char* name :
       {"", "layers.w3.weight", "layers..w3.weight", "layers.x.w3.weight", "layers.1.w3.weigh",
        "layers.007.w3.weight", "layers.1.w3.weight.bias", "layers.-1.w3.weight", "toks.weight"}) {
    EXPECT_FALSE(name_in_hf(kRules, name)) << name;
  }
  EXPECT_TRUE(name_in_hf(kRules, "layers.0.w3.weight"));
}

}  // namespace
}  // namespace titan::protocols
