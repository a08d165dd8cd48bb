#include "trainer/nonfinite.h"

#include <ATen/ops/full_like.h>
#include <ATen/ops/ones_like.h>
#include <gtest/gtest.h>

#include <limits>

#include "support/local_ranks.h"
#include "titan/models/llama3/model.h"

namespace titan::trainer {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

protocols::ModelParts small_llama() {
  models::llama3::TransformerModelArgs args;
  args.dim = 8;
  args.n_layers = 2;
  args.n_heads = 2;
  args.vocabulary = 16;
  args.multiple_of = 8;
  args.max_seq_len = 8;
  protocols::ModelParts parts;
  parts.push_back({std::make_unique<models::llama3::Transformer>(args, at::kFloat), nullptr});
  parts.front().model->to_empty(at::kCPU);
  for (const auto& [name, parameter] : protocols::named_parameters(parts)) {
    parameter->tensor.mutable_grad() = at::ones_like(parameter->tensor);
  }
  return parts;
}

void spoil(const protocols::ModelParts& parts, const std::string& pattern, double value) {
  for (const auto& [name, parameter] : protocols::named_parameters(parts)) {
    if (name.find(pattern) != std::string::npos) {
      parameter->tensor.mutable_grad() = at::full_like(parameter->tensor, value);
    }
  }
}

TEST(Nonfinite, NamesTheParametersConcernedAndNoOthers) {
  const auto parts = small_llama();
  spoil(parts, "layers.1.attention.wq", kNaN);
  spoil(parts, "output", -std::numeric_limits<double>::infinity());
  EXPECT_EQ(describe_nonfinite({3, 2.5, 2.5, kNaN, 0.1, 9}, parts, {}),
            "Step 3: loss 2.5, gradient norm nan. Non-finite gradients in 2 parameters: "
            "layers.1.attention.wq.weight, output.weight.");
}

TEST(Nonfinite, NamesTheFirstFive) {
  const auto parts = small_llama();
  spoil(parts, "layers.0", kNaN);
  const std::string report = describe_nonfinite({1, kNaN, kNaN, kNaN, 0.1, 9}, parts, {});
  EXPECT_NE(report.find("in 9 parameters: layers.0.attention.wq.weight"), std::string::npos);
  EXPECT_NE(report.find("layers.0.feed_forward.w1.weight, ..."), std::string::npos);
}

TEST(Nonfinite, SaysWhenOnlyTheLossIs) {
  EXPECT_NE(describe_nonfinite({1, kNaN, kNaN, 0.5, 0.1, 9}, small_llama(), {})
                .find("No gradient is non-finite."),
            std::string::npos);
}

TEST(Nonfinite, NamesTheStagesOfAPipelineOnEveryRank) {
  std::vector<std::string> reports(2);
  test::on_local_ranks({.dp_shard = 1, .pp = 2}, 2, [&](const comm::RankContext& context) {
    auto parts = small_llama();
    parts.front().stage = {context.rank, 2};
    if (context.rank == 1) spoil(parts, "norm.weight", kNaN);
    reports[static_cast<std::size_t>(context.rank)] =
        describe_nonfinite({3, 2.5, 2.5, kNaN, 0.1, 9}, parts, context);
  });
  const std::string step = "Step 3: loss 2.5, gradient norm nan. ";
  EXPECT_EQ(reports[0], step +
                            "No gradient of this rank is non-finite. The pipeline has such "
                            "gradients in stage 1.");
  EXPECT_EQ(reports[1],
            step +
                "Non-finite gradients in 5 parameters of stage 1: layers.0.attention_norm.weight, "
                "layers.0.ffn_norm.weight, layers.1.attention_norm.weight, "
                "layers.1.ffn_norm.weight, norm.weight. The pipeline has such gradients in "
                "stage 1.");
}

}  // namespace
}  // namespace titan::trainer
