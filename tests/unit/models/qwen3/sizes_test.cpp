#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/models/qwen3/model.h"

namespace titan::models::qwen3 {
namespace {

const Qwen3ModelArgs& args_of(const std::string& flavor) {
  return dynamic_cast<const Qwen3ModelArgs&>(*flavors().at(flavor));
}

struct Size {
  const char* flavor;
  const char* name;
  std::int64_t parameters;
  std::int64_t flops_per_token;  // at sequence length 2048
};

class Qwen3Sizes : public ::testing::TestWithParam<Size> {};

TEST_P(Qwen3Sizes, EqualTheReference) {
  Qwen3ModelArgs args = args_of(GetParam().flavor);
  args.max_seq_len = 2048;
  const protocols::ModelSize size = args.size_of(Qwen3Model(args, at::kFloat), 2048);
  EXPECT_EQ(size.parameters, GetParam().parameters);
  EXPECT_EQ(size.flops_per_token, GetParam().flops_per_token);
}

INSTANTIATE_TEST_SUITE_P(
    Flavors, Qwen3Sizes,
    ::testing::Values(
        Size{"debugmodel", "debugmodel", 31987968, 594580992},
        Size{"0.6B", "0_6B", 596049920, 4985585664}, Size{"1.7B", "1_7B", 1720574976, 11732736000},
        Size{"4B", "4B", 4022468096, 27758687232}, Size{"8B", "8B", 8190735360, 49034311680},
        Size{"14B", "14B", 14768307200, 88975534080}, Size{"32B", "32B", 32762123264, 204790167552},
        Size{"debugmodel_moe", "debugmodel_moe", 315758848, 708613632},
        Size{"30B-A3B", "30B_A3B", 30532122624, 23083044864},
        Size{"235B-A22B", "235B_A22B", 235093634560, 148335301632}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(Qwen3Names, AreTheReferencesInItsOrder) {
  Qwen3ModelArgs args = args_of("4B");
  args.n_layers = 1;
  args.max_seq_len = 16;
  const Qwen3Model model(args, at::kFloat);
  const std::vector<std::pair<std::string, std::vector<std::int64_t>>> expected = {
      {"tok_embeddings.weight", {151936, 2560}},
      {"layers.0.attention.q_norm.weight", {128}},
      {"layers.0.attention.k_norm.weight", {128}},
      {"layers.0.attention.wq.weight", {4096, 2560}},
      {"layers.0.attention.wk.weight", {1024, 2560}},
      {"layers.0.attention.wv.weight", {1024, 2560}},
      {"layers.0.attention.wo.weight", {2560, 4096}},
      {"layers.0.feed_forward.w1.weight", {9728, 2560}},
      {"layers.0.feed_forward.w2.weight", {2560, 9728}},
      {"layers.0.feed_forward.w3.weight", {9728, 2560}},
      {"layers.0.attention_norm.weight", {2560}},
      {"layers.0.ffn_norm.weight", {2560}},
      {"norm.weight", {2560}},
      {"output.weight", {151936, 2560}}};
  const auto names = model.parameter_names();
  ASSERT_EQ(names.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(names[i].name, expected[i].first);
    EXPECT_EQ(names[i].tensor().sizes().vec(), expected[i].second);
  }
  EXPECT_EQ(names.front().parameter, names.back().parameter) << "4B is tied";
  EXPECT_EQ(model.named_parameters().size(), expected.size() - 1);
  EXPECT_EQ(model.named_buffers().at(0).name, "rope_cache");
}

TEST(Qwen3TensorParallelism, NeedsHeadsThatDivide) {
  using testing::ElementsAre;
  EXPECT_THAT(args_of("32B").tensor_parallel_problems(8), testing::IsEmpty());
  EXPECT_THAT(args_of("14B").tensor_parallel_problems(16),
              ElementsAre("its 40 heads do not divide among 16 ranks",
                          "its 8 key/value heads do not divide among 16 ranks"));
}

}  // namespace
}  // namespace titan::models::qwen3
