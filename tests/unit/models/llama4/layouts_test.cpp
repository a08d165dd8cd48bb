// A step of a small Llama 4 on every layout: loss, gradients and weights are those of one rank.
#include <gtest/gtest.h>

#include "support/model_layouts.h"
#include "titan/models/llama4/model.h"
#include "titan/models/llama4/train_spec.h"

namespace titan::models::llama4 {
namespace {

using config::ActivationCheckpointMode;
using test::LayoutJob;

/// Dense layers and such with experts, rotating in blocks of 8 tokens and not: `tiny_irope`.
test::LayoutModel tiny() {
  test::LayoutModel model;
  model.vocabulary = 49;  // 25 and 24 on two ranks
  TransformerModelArgs args =
      dynamic_cast<const TransformerModelArgs&>(*flavors().at("tiny_irope"));
  args.vocabulary = model.vocabulary;
  args.max_seq_len = model.length;
  model.build = [args] { return std::make_unique<Transformer>(args, at::kFloat); };
  model.parallelize = parallelize_llama;
  return model;
}

class Layouts : public ::testing::TestWithParam<LayoutJob> {};

TEST_P(Layouts, GiveTheStepOfOneRank) {
  const test::LayoutModel model = tiny();
  test::expect_same_step(test::run_step(model, GetParam()),
                         test::run_step(model, GetParam().alone()));
}

INSTANTIATE_TEST_SUITE_P(
    Llama4, Layouts,
    ::testing::Values(
        LayoutJob{"fsdp2", {.dp_shard = 2}, 2},
        LayoutJob{"ddp2", {.dp_replicate = 2, .dp_shard = 1}, 2},
        LayoutJob{"tp2", {.dp_shard = 1, .tp = 2}, 2},
        LayoutJob{
            .name = "tp2_async", .degrees = {.dp_shard = 1, .tp = 2}, .ranks = 2, .async = true},
        LayoutJob{"fsdp2_tp2", {.dp_shard = 2, .tp = 2}, 4},
        LayoutJob{"fsdp2_ep2", {.dp_shard = 2, .ep = 2}, 2},
        LayoutJob{"fsdp4_ep4", {.dp_shard = 4, .ep = 4}, 4},
        LayoutJob{"tp2_ep2_etp1", {.dp_shard = 1, .tp = 2, .ep = 2}, 2},
        LayoutJob{"fsdp2_tp2_ep2_etp2", {.dp_shard = 2, .tp = 2, .ep = 2, .etp = 2}, 4},
        LayoutJob{"cp2", {.dp_shard = 1, .cp = 2}, 2},
        LayoutJob{.name = "cp3_in_turn",
                  .degrees = {.dp_shard = 1, .cp = 3},
                  .ranks = 3,
                  .head_tail = false},
        LayoutJob{
            .name = "cp2_fast", .degrees = {.dp_shard = 1, .cp = 2}, .ranks = 2, .fast = true},
        LayoutJob{.name = "cp4_alltoall_fast",
                  .degrees = {.dp_shard = 1, .cp = 4},
                  .ranks = 4,
                  .rotation = config::RotateMethod::kAllToAll,
                  .fast = true},
        LayoutJob{.name = "cp4_in_turn_fast",
                  .degrees = {.dp_shard = 1, .cp = 4},
                  .ranks = 4,
                  .head_tail = false,
                  .fast = true},
        LayoutJob{.name = "tp2_async_fast",
                  .degrees = {.dp_shard = 1, .tp = 2},
                  .ranks = 2,
                  .async = true,
                  .fast = true},
        LayoutJob{"fsdp2_cp2", {.dp_shard = 2, .cp = 2}, 4},
        LayoutJob{"tp2_cp2", {.dp_shard = 1, .cp = 2, .tp = 2}, 4},
        LayoutJob{"cp2_ep2", {.dp_shard = 1, .cp = 2, .ep = 2}, 2},
        LayoutJob{"fsdp2_cp2_ep2", {.dp_shard = 2, .cp = 2, .ep = 2}, 4},
        LayoutJob{.name = "fsdp2_cp2_full_ac",
                  .degrees = {.dp_shard = 2, .cp = 2},
                  .ranks = 4,
                  .ac = ActivationCheckpointMode::kFull},
        LayoutJob{.name = "fsdp2_full_ac",
                  .degrees = {.dp_shard = 2},
                  .ranks = 2,
                  .ac = ActivationCheckpointMode::kFull},
        LayoutJob{.name = "fsdp2_tp2_selective_ac",
                  .degrees = {.dp_shard = 2, .tp = 2},
                  .ranks = 4,
                  .ac = ActivationCheckpointMode::kSelective}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace titan::models::llama4
