// A step of a small Qwen 3 on every layout: loss, gradients and weights are those of one rank.
#include <gtest/gtest.h>

#include "support/model_layouts.h"
#include "titan/models/qwen3/model.h"
#include "titan/models/qwen3/train_spec.h"

namespace titan::models::qwen3 {
namespace {

using config::ActivationCheckpointMode;
using test::LayoutJob;

enum class Kind { kDense, kTied, kExperts };

test::LayoutModel model_of(Kind kind) {
  test::LayoutModel model;
  model.vocabulary = 50;  // 17, 17, 16 on three ranks
  Qwen3ModelArgs args;
  args.dim = 24;
  args.n_layers = 3;
  args.n_heads = 6;
  args.n_kv_heads = 3;
  args.head_dim = 8;  // 48 features of all heads together
  args.hidden_dim = 40;
  args.vocabulary = model.vocabulary;
  args.max_seq_len = model.length;
  args.enable_weight_tying = kind == Kind::kTied;
  if (kind == Kind::kExperts) {
    args.moe_enabled = true;
    args.moe_inter_dim = 12;
    args.moe = dynamic_cast<const Qwen3ModelArgs&>(*flavors().at("tiny_moe")).moe;
    args.moe.num_experts = 12;
  }
  model.build = [args] { return std::make_unique<Qwen3Model>(args, at::kFloat); };
  model.parallelize = parallelize_qwen3;
  return model;
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<Kind, LayoutJob>>& test) {
  const auto& [kind, job] = test.param;
  const char* behind = kind == Kind::kTied ? "_tied" : kind == Kind::kExperts ? "_experts" : "";
  return job.name + behind;
}

class Layouts : public ::testing::TestWithParam<std::tuple<Kind, LayoutJob>> {};

TEST_P(Layouts, GiveTheStepOfOneRank) {
  const auto& [kind, job] = GetParam();
  const test::LayoutModel model = model_of(kind);
  const test::StepOutcome expected = test::run_step(model, job.alone());
  EXPECT_EQ(expected.gradients.count("output.weight"), kind == Kind::kTied ? 0 : 1);
  test::expect_same_step(test::run_step(model, job), expected);
}

const auto kAll = ::testing::Values(Kind::kDense, Kind::kTied, Kind::kExperts);

INSTANTIATE_TEST_SUITE_P(
    Qwen3, Layouts,
    ::testing::Combine(
        kAll,
        ::testing::ValuesIn(test::data_layouts(
            {{"hsdp2x2", {.dp_replicate = 2, .dp_shard = 2}, 4},
             {"tp3", {.dp_shard = 1, .tp = 3}, 3},
             {.name = "tp3_whole_loss",
              .degrees = {.dp_shard = 1, .tp = 3},
              .ranks = 3,
              .loss_in_parts = false},
             {.name = "tp3_async", .degrees = {.dp_shard = 1, .tp = 3}, .ranks = 3, .async = true},
             {.name = "tp3_fast", .degrees = {.dp_shard = 1, .tp = 3}, .ranks = 3, .fast = true},
             {.name = "tp3_async_fast",
              .degrees = {.dp_shard = 1, .tp = 3},
              .ranks = 3,
              .async = true,
              .fast = true},
             {"fsdp2_tp3", {.dp_shard = 2, .tp = 3}, 6},
             {.name = "fsdp2_accumulated",
              .degrees = {.dp_shard = 2},
              .ranks = 2,
              .microbatches = 2},
             {.name = "fsdp2_tp3_selective_ac",
              .degrees = {.dp_shard = 2, .tp = 3},
              .ranks = 6,
              .ac = ActivationCheckpointMode::kSelective}}))),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Qwen3Context, Layouts,
    ::testing::Combine(kAll, ::testing::ValuesIn(test::context_layouts(
                                 {{"tp3_cp2", {.dp_shard = 1, .cp = 2, .tp = 3}, 6}}))),
    name_of);

/// Twelve experts, of which two are chosen.
INSTANTIATE_TEST_SUITE_P(
    Qwen3Experts, Layouts,
    ::testing::Combine(::testing::Values(Kind::kExperts),
                       ::testing::ValuesIn(test::expert_layouts(
                           {{"fsdp4_ep2", {.dp_shard = 4, .ep = 2}, 4},
                            {"tp3_ep3_etp1", {.dp_shard = 1, .tp = 3, .ep = 3}, 3},
                            {.name = "fsdp2_ep2_full_ac",
                             .degrees = {.dp_shard = 2, .ep = 2},
                             .ranks = 2,
                             .ac = ActivationCheckpointMode::kFull}}))),
    name_of);

}  // namespace
}  // namespace titan::models::qwen3
