#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/models/llama3/args.h"
#include "titan/models/llama3/model.h"

namespace titan::models::llama3 {
namespace {

struct Size {
  const char* flavor;
  std::int64_t parameters;
  std::int64_t flops_per_token;  // at sequence length 2048
};

class LlamaSizes : public ::testing::TestWithParam<Size> {};

/// The reference's counts; a model of 405 B parameters is built here without memory, on the meta
/// device.
TEST_P(LlamaSizes, EqualTheReference) {
  const auto args =
      std::dynamic_pointer_cast<const TransformerModelArgs>(flavors().at(GetParam().flavor));
  TransformerModelArgs short_args = *args;
  short_args.max_seq_len = 2048;
  const Transformer model(short_args, at::kFloat);
  const protocols::ModelSize size = short_args.size_of(model, 2048);
  EXPECT_EQ(size.parameters, GetParam().parameters);
  EXPECT_EQ(size.flops_per_token, GetParam().flops_per_token);
}

INSTANTIATE_TEST_SUITE_P(Flavors, LlamaSizes,
                         ::testing::Values(Size{"debugmodel", 6163712, 71585280},
                                           Size{"debugmodel_flex_attn", 6163712, 71585280},
                                           Size{"debugmodel_varlen_attn", 6163712, 71585280},
                                           // Meta's 1,235,814,400 and an output of its own.
                                           Size{"1B", 1498482688, 8220192768},
                                           Size{"8B", 8030261248, 48250773504},
                                           Size{"8B_flex", 8030261248, 48250773504},
                                           Size{"8B_varlen", 8030261248, 48250773504},
                                           Size{"70B", 70553706496, 433124327424},
                                           Size{"405B", 405853388800, 2473246556160}),
                         [](const auto& tested) { return std::string(tested.param.flavor); });

TEST(LlamaTensorParallelism, NeedsHeadsThatDivide) {
  using testing::ElementsAre;
  TransformerModelArgs args;
  args.n_heads = 12;
  args.n_kv_heads = 4;
  args.vocabulary = 12;
  EXPECT_THAT(args.tensor_parallel_problems(1), testing::IsEmpty());
  EXPECT_THAT(args.tensor_parallel_problems(4), testing::IsEmpty());
  EXPECT_THAT(args.tensor_parallel_problems(6),
              ElementsAre("its 4 key/value heads do not divide among 6 ranks"));
  EXPECT_THAT(args.tensor_parallel_problems(24),
              ElementsAre("its 12 heads do not divide among 24 ranks",
                          "its 4 key/value heads do not divide among 24 ranks",
                          "its vocabulary of 12 is smaller than the 24 ranks"));
}

TEST(LlamaNames, AreTheReferencesInItsOrder) {
  const auto args = std::dynamic_pointer_cast<const TransformerModelArgs>(flavors().at("8B"));
  TransformerModelArgs one_layer = *args;
  one_layer.n_layers = 1;
  one_layer.max_seq_len = 16;
  const Transformer model(one_layer, at::kFloat);
  const std::vector<std::pair<std::string, std::vector<std::int64_t>>> expected = {
      {"tok_embeddings.weight", {128256, 4096}},
      {"layers.0.attention.wq.weight", {4096, 4096}},
      {"layers.0.attention.wk.weight", {1024, 4096}},
      {"layers.0.attention.wv.weight", {1024, 4096}},
      {"layers.0.attention.wo.weight", {4096, 4096}},
      {"layers.0.feed_forward.w1.weight", {14336, 4096}},
      {"layers.0.feed_forward.w2.weight", {4096, 14336}},
      {"layers.0.feed_forward.w3.weight", {14336, 4096}},
      {"layers.0.attention_norm.weight", {4096}},
      {"layers.0.ffn_norm.weight", {4096}},
      {"norm.weight", {4096}},
      {"output.weight", {128256, 4096}}};
  const auto parameters = model.named_parameters();
  ASSERT_EQ(parameters.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(parameters[i].name, expected[i].first);
    EXPECT_EQ(parameters[i].tensor().sizes().vec(), expected[i].second);
  }
  const auto buffers = model.named_buffers();
  ASSERT_EQ(buffers.size(), 1U);
  EXPECT_EQ(buffers[0].name, "freqs_cis");
}

}  // namespace
}  // namespace titan::models::llama3
