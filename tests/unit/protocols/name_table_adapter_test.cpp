#include "titan/protocols/name_table_adapter.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/stack.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::protocols {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<NameRule> kRules = {
    {"embed.weight", "tok_embeddings.weight"},
    {"head.weight", "output.weight"},
    {"layers.{}.experts.{}.up.weight", "layers.{}.experts.w3"},
    {"", "layers.{}.expert_bias"},
    {"layers.{}.inv_freq", ""},
};

std::vector<std::string> names(const std::vector<HfTensor>& tensors) {
  std::vector<std::string> result;
  for (const HfTensor& tensor : tensors) result.push_back(tensor.name);
  return result;
}

TEST(NameTableAdapter, ExpertsAreTensorsOfTheirOwnThere) {
  const NameTableAdapter adapter("small", kRules, /*tied=*/false);
  const auto theirs = adapter.hf_tensors({{"layers.7.experts.w3", {3, 4, 2}}});
  EXPECT_THAT(names(theirs),
              ElementsAre("layers.7.experts.0.up.weight", "layers.7.experts.1.up.weight",
                          "layers.7.experts.2.up.weight"));
  EXPECT_THAT(theirs[1].sizes, ElementsAre(4, 2));
  EXPECT_THAT(theirs[1].sources, ElementsAre("layers.7.experts.w3"));

  const at::Tensor ours = at::arange(24, at::kFloat).view({3, 4, 2});
  EXPECT_TRUE(adapter.to_hf("layers.7.experts.2.up.weight", {ours}).equal(ours[2]));
}

/// Of experts that ranks share, and of rows within them, no more is read than a rank holds.
TEST(NameTableAdapter, ABoxOfExpertsIsMadeOfItsPart) {
  const NameTableAdapter adapter("small", kRules, /*tied=*/false);
  const TensorSlice box{"layers.0.experts.w3", {1, 2, 0}, {2, 2, 2}};
  const std::vector<TensorSlice> slices = adapter.hf_slices(box);
  ASSERT_EQ(slices.size(), 2U);
  EXPECT_EQ(slices[0].name, "layers.0.experts.1.up.weight");
  EXPECT_EQ(slices[1].name, "layers.0.experts.2.up.weight");
  EXPECT_THAT(slices[1].offsets, ElementsAre(2, 0));
  EXPECT_THAT(slices[1].sizes, ElementsAre(2, 2));
  const at::Tensor ours = at::arange(24, at::kFloat).view({3, 4, 2});
  const std::vector<at::Tensor> parts = {ours[1].narrow(0, 2, 2), ours[2].narrow(0, 2, 2)};
  EXPECT_TRUE(adapter.from_hf(box, parts).equal(ours.narrow(0, 1, 2).narrow(1, 2, 2)));
}

TEST(NameTableAdapter, WhatOnlyWeHaveIsZeroAndNotWritten) {
  const NameTableAdapter adapter("small", kRules, /*tied=*/false);
  EXPECT_THAT(adapter.hf_tensors({{"layers.0.expert_bias", {3}}}), IsEmpty());
  const TensorSlice box{"layers.0.expert_bias", {0}, {3}};
  EXPECT_THAT(adapter.hf_slices(box), IsEmpty());
  EXPECT_EQ(adapter.from_hf(box, {}).abs().sum().item<float>(), 0);
  EXPECT_THAT(test::message_of<RunError>([&] {
                adapter.hf_tensors({{"other", {1}}});
              }),
              HasSubstr("no tensors of a small model, so that Hugging Face has no names for them: "
                        "other"));
}

TEST(NameTableAdapter, ATiedHeadIsTheEmbedding) {
  const std::vector<TensorShape> ours = {{"tok_embeddings.weight", {5, 2}},
                                         {"output.weight", {5, 2}}};
  const NameTableAdapter tied("small", kRules, /*tied=*/true);
  EXPECT_THAT(names(tied.hf_tensors(ours)), ElementsAre("embed.weight"));
  EXPECT_EQ(tied.hf_slices({"output.weight", {0, 0}, {5, 2}}).at(0).name, "embed.weight");
  EXPECT_TRUE(tied.is_ignored("head.weight"));
  EXPECT_TRUE(tied.is_ignored("layers.3.inv_freq"));
  EXPECT_FALSE(tied.is_ignored("embed.weight"));

  const NameTableAdapter own("small", kRules, /*tied=*/false);
  EXPECT_THAT(names(own.hf_tensors(ours)), ElementsAre("embed.weight", "head.weight"));
  EXPECT_FALSE(own.is_ignored("head.weight"));
  EXPECT_EQ(own.stand_in("head.weight"), "embed.weight");
  EXPECT_FALSE(own.stand_in("embed.weight"));
}

}  // namespace
}  // namespace titan::protocols
