#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/models/llama4/model.h"

namespace titan::models::llama4 {
namespace {

TransformerModelArgs args_of(const std::string& flavor) {
  return dynamic_cast<const TransformerModelArgs&>(*flavors().at(flavor));
}

struct Size {
  const char* flavor;
  std::int64_t parameters;
  std::int64_t flops_per_token;  // at sequence length 2048
};

class Llama4Sizes : public ::testing::TestWithParam<Size> {};

TEST_P(Llama4Sizes, EqualTheReference) {
  TransformerModelArgs args = args_of(GetParam().flavor);
  args.max_seq_len = 2048;
  const protocols::ModelSize size = args.size_of(Transformer(args, at::kFloat), 2048);
  EXPECT_EQ(size.parameters, GetParam().parameters);
  EXPECT_EQ(size.flops_per_token, GetParam().flops_per_token);
}

INSTANTIATE_TEST_SUITE_P(Flavors, Llama4Sizes,
                         ::testing::Values(Size{"debugmodel", 15017216, 75161088},
                                           Size{"debugmodel_irope", 15017216, 75161088},
                                           Size{"17bx16e", 107769861120, 102870251520},
                                           Size{"17bx16e_irope", 107769861120, 102870251520},
                                           Size{"17bx128e", 400711848960, 102941030400},
                                           Size{"17bx128e_irope", 400711848960, 102941030400}),
                         [](const auto& tested) { return std::string(tested.param.flavor); });

TEST(Llama4Layers, AreWhatTheFlavorSays) {
  const TransformerModelArgs debug = args_of("debugmodel");
  EXPECT_EQ(debug.ffn_hidden_dim(), 768);
  EXPECT_EQ(debug.expert_hidden_dim(), 512);
  EXPECT_FALSE(debug.has_experts(0));
  EXPECT_TRUE(debug.has_experts(1));
  EXPECT_TRUE(debug.rotates(0));
  const TransformerModelArgs scout = args_of("17bx16e_irope");
  EXPECT_EQ(scout.ffn_hidden_dim(), 16384);
  EXPECT_EQ(scout.expert_hidden_dim(), 8192);
  EXPECT_TRUE(scout.has_experts(0));
  EXPECT_FALSE(scout.rotates(0));
  EXPECT_TRUE(scout.rotates(3));
  EXPECT_FALSE(scout.rotates(4));
}

TEST(Llama4Names, AreTheReferencesInItsOrder) {
  TransformerModelArgs args = args_of("debugmodel");
  args.n_layers = 2;
  args.max_seq_len = 16;
  const Transformer model(args, at::kFloat);
  std::vector<std::string> names;
  for (const nn::NamedParameter& named : model.named_parameters()) names.push_back(named.name);
  EXPECT_THAT(
      names,
      testing::ElementsAre(
          "tok_embeddings.weight", "layers.0.attention.wq.weight", "layers.0.attention.wk.weight",
          "layers.0.attention.wv.weight", "layers.0.attention.wo.weight",
          "layers.0.feed_forward.w1.weight", "layers.0.feed_forward.w2.weight",
          "layers.0.feed_forward.w3.weight", "layers.0.attention_norm.weight",
          "layers.0.ffn_norm.weight", "layers.1.attention.wq.weight",
          "layers.1.attention.wk.weight", "layers.1.attention.wv.weight",
          "layers.1.attention.wo.weight", "layers.1.moe.experts.w1", "layers.1.moe.experts.w2",
          "layers.1.moe.experts.w3", "layers.1.moe.router.gate.weight",
          "layers.1.moe.shared_experts.w1.weight", "layers.1.moe.shared_experts.w2.weight",
          "layers.1.moe.shared_experts.w3.weight", "layers.1.attention_norm.weight",
          "layers.1.ffn_norm.weight", "norm.weight", "output.weight"));
  const auto buffers = model.persistent_buffers();
  ASSERT_EQ(buffers.size(), 1U);
  EXPECT_EQ(buffers[0].name, "layers.1.moe.expert_bias");
}

}  // namespace
}  // namespace titan::models::llama4
