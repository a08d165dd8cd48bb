// A step of a small DeepSeek on every layout: loss, gradients, weights, norm and expert biases are those of one rank.
#include <gtest/gtest.h>

#include <cstdlib>

#include "support/model_layouts.h"
#include "titan/components/expert_balance/expert_balance.h"
#include "titan/models/deepseek_v3/model.h"
#include "titan/models/deepseek_v3/train_spec.h"

namespace titan::models::deepseek_v3 {
namespace {

using config::ActivationCheckpointMode;
using test::LayoutJob;

/// Has all tokens go to the last two experts: most ranks get none.
void collapse(protocols::ModelProtocol& model) {
  for (const auto& [name, module] : model.named_modules()) {
    const auto* mixture = dynamic_cast<nn::MoE*>(module);
    if (mixture == nullptr) continue;
    mixture->expert_bias()[6] = 10;
    mixture->expert_bias()[7] = 10;
  }
}

test::LayoutModel small(bool collapsed) {
  test::LayoutModel model;
  model.length = 12;
  DeepSeekV3ModelArgs args =
      *std::dynamic_pointer_cast<const DeepSeekV3ModelArgs>(flavors().at("tiny"));
  args.vocabulary = model.vocabulary;
  args.max_seq_len = model.length;
  args.moe.num_expert_groups.reset();
  args.moe.num_limited_groups.reset();
  model.build = [args] { return std::make_unique<Transformer>(args, at::kFloat); };
  model.parallelize = parallelize_deepseekv3;
  if (collapsed) model.prepare = collapse;
  model.around_step = [collapsed, tokens = model.rows * model.length](
                          protocols::ModelParts& parts, const comm::RankContext& context) {
    const auto balance = std::make_shared<components::ExpertBalance>(parts, context);
    balance->begin_step();
    EXPECT_EQ(parts[0].model->persistent_buffers().size(), 2U)
        << "biases, to be held against others'";
    return [=] {
      balance->update();
      for (const protocols::ExpertLoad& load : balance->loads()) {
        EXPECT_EQ(load.tokens, tokens * 2) << load.layer;
        EXPECT_EQ(load.experts, 8) << load.layer;
        if (collapsed) {
          EXPECT_EQ(load.idle_experts, 6) << load.layer;
        }
      }
    };
  };
  return model;
}

class DeepSeekLayouts : public ::testing::TestWithParam<LayoutJob> {};
TEST_P(DeepSeekLayouts, GiveTheStepOfOneRank) {
  test::expect_step_of_one_rank(small(false), GetParam());
}

class CollapsedDeepSeekLayouts : public ::testing::TestWithParam<LayoutJob> {};
TEST_P(CollapsedDeepSeekLayouts, GiveTheStepOfOneRank) {
  test::expect_step_of_one_rank(small(true), GetParam());
}

class ManyDeepSeekRanks : public ::testing::TestWithParam<LayoutJob> {};
TEST_P(ManyDeepSeekRanks, GiveTheStepOfOneRank) {
  if (std::getenv("TITAN_EXPERT_MATRIX") == nullptr) GTEST_SKIP() << "set TITAN_EXPERT_MATRIX";
  test::expect_step_of_one_rank(small(false), GetParam());
}

constexpr auto kFull = ActivationCheckpointMode::kFull;
constexpr auto kSelective = ActivationCheckpointMode::kSelective;

INSTANTIATE_TEST_SUITE_P(
    Data, DeepSeekLayouts,
    ::testing::Values(LayoutJob{.name = "one_recomputed", .ac = kFull, .microbatches = 2},
                      LayoutJob{"fsdp2", {.dp_shard = 2}, 2},
                      LayoutJob{"tp2", {.dp_shard = 1, .tp = 2}, 2},
                      LayoutJob{"fsdp2_tp2", {.dp_shard = 2, .tp = 2}, 4}),
    test::layout_name);

INSTANTIATE_TEST_SUITE_P(
    Experts, DeepSeekLayouts,
    ::testing::ValuesIn(test::expert_layouts(
        {{"fsdp4_ep2", {.dp_shard = 4, .ep = 2}, 4},
         {"tp2_ep2_etp1", {.dp_shard = 1, .tp = 2, .ep = 2}, 2},
         {"tp4_ep2_etp1", {.dp_shard = 1, .tp = 4, .ep = 2}, 4},
         {"fsdp2_tp2_ep2_etp1", {.dp_shard = 2, .tp = 2, .ep = 2}, 4},
         {"fsdp2_tp2_ep4_etp1", {.dp_shard = 2, .tp = 2, .ep = 4}, 4},
         {"fsdp2_tp2_ep2_etp2", {.dp_shard = 2, .tp = 2, .ep = 2, .etp = 2}, 4},
         {"hsdp2x2_ep2", {.dp_replicate = 2, .dp_shard = 2, .ep = 2}, 4},
         {"fsdp2_cp2_ep4", {.dp_shard = 2, .cp = 2, .ep = 4}, 4},
         {.name = "by_operator_fsdp2_cp2_ep2",
          .degrees = {.dp_shard = 2, .cp = 2, .ep = 2},
          .ranks = 4,
          .ac = kSelective},
         {.name = "full_fsdp2_ep2", .degrees = {.dp_shard = 2, .ep = 2}, .ranks = 2, .ac = kFull},
         {.name = "by_operator_fsdp2_ep2",
          .degrees = {.dp_shard = 2, .ep = 2},
          .ranks = 2,
          .ac = kSelective},
         {.name = "accumulated_fsdp2_ep2",
          .degrees = {.dp_shard = 2, .ep = 2},
          .ranks = 2,
          .microbatches = 2},
         {.name = "full_accumulated_tp2_ep2",
          .degrees = {.dp_shard = 1, .tp = 2, .ep = 2},
          .ranks = 2,
          .ac = kFull,
          .microbatches = 2}})),
    test::layout_name);

INSTANTIATE_TEST_SUITE_P(
    Experts, CollapsedDeepSeekLayouts,
    ::testing::Values(LayoutJob{"fsdp4_ep4", {.dp_shard = 4, .ep = 4}, 4},
                      LayoutJob{"fsdp2_tp2_ep4", {.dp_shard = 2, .tp = 2, .ep = 4}, 4}),
    test::layout_name);

// Texts of 12 tokens are too short for four parts at both ends.
INSTANTIATE_TEST_SUITE_P(
    Context, DeepSeekLayouts,
    ::testing::Values(
        LayoutJob{"cp2", {.dp_shard = 1, .cp = 2}, 2},
        LayoutJob{"cp3", {.dp_shard = 1, .cp = 3}, 3},
        LayoutJob{
            .name = "cp2_fast", .degrees = {.dp_shard = 1, .cp = 2}, .ranks = 2, .fast = true},
        LayoutJob{
            .name = "cp3_fast", .degrees = {.dp_shard = 1, .cp = 3}, .ranks = 3, .fast = true},
        LayoutJob{"fsdp2_cp2", {.dp_shard = 2, .cp = 2}, 4},
        LayoutJob{"tp2_cp2", {.dp_shard = 1, .cp = 2, .tp = 2}, 4}),
    test::layout_name);

// Too many ranks for the experts of each: cut within.
INSTANTIATE_TEST_SUITE_P(
    Experts, ManyDeepSeekRanks,
    ::testing::Values(LayoutJob{"fsdp4_tp4_ep8_etp1", {.dp_shard = 4, .tp = 4, .ep = 8}, 16},
                      LayoutJob{
                          "fsdp4_tp4_ep4_etp4", {.dp_shard = 4, .tp = 4, .ep = 4, .etp = 4}, 16},
                      LayoutJob{"hsdp2x2_tp2_ep2_etp2",
                                {.dp_replicate = 2, .dp_shard = 2, .tp = 2, .ep = 2, .etp = 2},
                                8}),
    test::layout_name);

}  // namespace
}  // namespace titan::models::deepseek_v3
