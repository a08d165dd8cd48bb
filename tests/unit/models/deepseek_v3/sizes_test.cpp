#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/models/deepseek_v3/args.h"
#include "titan/models/deepseek_v3/model.h"

namespace titan::models::deepseek_v3 {
namespace {

DeepSeekV3ModelArgs args_of(const char* flavor, std::int64_t seq_len) {
  DeepSeekV3ModelArgs args =
      *std::dynamic_pointer_cast<const DeepSeekV3ModelArgs>(flavors().at(flavor));
  args.max_seq_len = seq_len;
  return args;
}

struct Size {
  const char* flavor;
  std::int64_t parameters;
  std::int64_t flops_per_token;  // at sequence length 2048
};

class DeepSeekSizes : public ::testing::TestWithParam<Size> {};

/// The reference's counts; a model of 671 B parameters is built here without memory, on the meta device.
TEST_P(DeepSeekSizes, EqualTheReference) {
  const DeepSeekV3ModelArgs args = args_of(GetParam().flavor, 2048);
  const Transformer model(args, at::kFloat);
  const protocols::ModelSize size = args.size_of(model, 2048);
  EXPECT_EQ(size.parameters, GetParam().parameters);
  EXPECT_EQ(size.flops_per_token, GetParam().flops_per_token);
}

INSTANTIATE_TEST_SUITE_P(Flavors, DeepSeekSizes,
                         ::testing::Values(Size{"debugmodel", 33014016, 542934528},
                                           Size{"debugmodel_flex_attn", 33014016, 542934528},
                                           Size{"16B", 15706484224, 16407303168},
                                           Size{"236B", 235741434880, 155308062720},
                                           Size{"671B", 671026404352, 250455926784}),
                         [](const auto& tested) { return std::string(tested.param.flavor); });

TEST(DeepSeekScale, GrowsWhereYarnStretchesPositions) {
  EXPECT_DOUBLE_EQ(args_of("debugmodel", 64).softmax_scale(), 0.07216878364870322);
  EXPECT_DOUBLE_EQ(args_of("debugmodel", 8192).softmax_scale(), 0.11425195291833387);
}

TEST(DeepSeekCuts, HeadsAndExpertsHaveToDivide) {
  using testing::ElementsAre;
  using testing::IsEmpty;
  const DeepSeekV3ModelArgs args = args_of("debugmodel", 64);
  EXPECT_THAT(args.tensor_parallel_problems(16), IsEmpty());
  EXPECT_THAT(args.tensor_parallel_problems(3),
              ElementsAre("its 16 heads do not divide among 3 ranks"));
  EXPECT_THAT(args.expert_parallel_problems(8), IsEmpty());
  EXPECT_THAT(args.expert_parallel_problems(3),
              ElementsAre("its 8 experts do not divide among 3 ranks"));
}

TEST(DeepSeekNames, AreTheReferencesInItsOrder) {
  DeepSeekV3ModelArgs args = args_of("671B", 16);
  args.n_layers = 2;
  args.n_dense_layers = 1;
  const Transformer model(args, at::kFloat);
  std::vector<std::string> expected = {"tok_embeddings.weight"};
  for (const std::string layer : {"layers.0.", "layers.1."}) {
    for (const char* name : {"wq_a", "q_norm", "wq_b", "wkv_a", "kv_norm", "wkv_b", "wo"}) {
      expected.push_back(layer + "attention." + name + ".weight");
    }
    expected.insert(expected.end(), {layer + "attention_norm.weight", layer + "ffn_norm.weight"});
    if (layer == "layers.0.") {
      for (const char* name : {"w1", "w2", "w3"}) {
        expected.push_back(layer + "feed_forward." + name + ".weight");
      }
    }
  }
  for (const char* name :
       {"experts.w1", "experts.w2", "experts.w3", "router.gate.weight", "shared_experts.w1.weight",
        "shared_experts.w2.weight", "shared_experts.w3.weight"}) {
    expected.push_back(std::string("layers.1.moe.") + name);
  }
  expected.insert(expected.end(), {"norm.weight", "output.weight"});
  std::vector<std::string> names;
  for (const auto& named : model.named_parameters()) names.push_back(named.name);
  EXPECT_EQ(names, expected);
  EXPECT_EQ(model.named_parameters()[1].tensor().sizes().vec(),
            (std::vector<std::int64_t>{1536, 7168}));
}

}  // namespace
}  // namespace titan::models::deepseek_v3
