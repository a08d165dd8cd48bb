// A step of a small Qwen 3 on every layout: loss, gradients and weights are those of one rank.
#include <gtest/gtest.h>

#include "support/model_layouts.h"
#include "titan/models/qwen3/model.h"
#include "titan/models/qwen3/train_spec.h"

namespace titan::models::qwen3 {
namespace {

using config::ActivationCheckpointMode;
using test::LayoutJob;

test::LayoutModel model_of(bool tied) {
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
  args.enable_weight_tying = tied;
  model.build = [args] { return std::make_unique<Qwen3Model>(args, at::kFloat); };
  model.parallelize = parallelize_qwen3;
  return model;
}

class Layouts : public ::testing::TestWithParam<std::tuple<bool, LayoutJob>> {};

TEST_P(Layouts, GiveTheStepOfOneRank) {
  const auto& [tied, job] = GetParam();
  const test::LayoutModel model = model_of(tied);
  const test::StepOutcome expected = test::run_step(model, job.alone());
  EXPECT_EQ(expected.gradients.count("output.weight"), tied ? 0 : 1);
  test::expect_same_step(test::run_step(model, job), expected);
}

INSTANTIATE_TEST_SUITE_P(
    Qwen3, Layouts,
    ::testing::Combine(::testing::Bool(),
                       ::testing::Values(LayoutJob{"fsdp2", {.dp_shard = 2}, 2},
                                         LayoutJob{
                                             "hsdp2x2", {.dp_replicate = 2, .dp_shard = 2}, 4},
                                         LayoutJob{"ddp2", {.dp_replicate = 2, .dp_shard = 1}, 2},
                                         LayoutJob{"tp3", {.dp_shard = 1, .tp = 3}, 3},
                                         LayoutJob{.name = "tp3_whole_loss",
                                                   .degrees = {.dp_shard = 1, .tp = 3},
                                                   .ranks = 3,
                                                   .loss_in_parts = false},
                                         LayoutJob{.name = "tp3_async",
                                                   .degrees = {.dp_shard = 1, .tp = 3},
                                                   .ranks = 3,
                                                   .async = true},
                                         LayoutJob{"fsdp2_tp3", {.dp_shard = 2, .tp = 3}, 6},
                                         LayoutJob{.name = "fsdp2_accumulated",
                                                   .degrees = {.dp_shard = 2},
                                                   .ranks = 2,
                                                   .microbatches = 2},
                                         LayoutJob{.name = "fsdp2_full_ac",
                                                   .degrees = {.dp_shard = 2},
                                                   .ranks = 2,
                                                   .ac = ActivationCheckpointMode::kFull},
                                         LayoutJob{.name = "fsdp2_tp3_selective_ac",
                                                   .degrees = {.dp_shard = 2, .tp = 3},
                                                   .ranks = 6,
                                                   .ac = ActivationCheckpointMode::kSelective})),
    [](const auto& test) {
      return std::get<1>(test.param).name + (std::get<0>(test.param) ? "_tied" : "");
    });

}  // namespace
}  // namespace titan::models::qwen3
