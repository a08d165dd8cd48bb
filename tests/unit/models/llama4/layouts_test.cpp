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

TEST_P(Layouts, GiveTheStepOfOneRank) { test::expect_step_of_one_rank(tiny(), GetParam()); }

INSTANTIATE_TEST_SUITE_P(
    Llama4, Layouts,
    ::testing::ValuesIn(test::data_layouts(
        {{"tp2", {.dp_shard = 1, .tp = 2}, 2},
         {.name = "tp2_async", .degrees = {.dp_shard = 1, .tp = 2}, .ranks = 2, .async = true},
         {.name = "tp2_async_fast",
          .degrees = {.dp_shard = 1, .tp = 2},
          .ranks = 2,
          .async = true,
          .fast = true},
         {"fsdp2_tp2", {.dp_shard = 2, .tp = 2}, 4},
         {.name = "fsdp2_tp2_selective_ac",
          .degrees = {.dp_shard = 2, .tp = 2},
          .ranks = 4,
          .ac = ActivationCheckpointMode::kSelective}})),
    test::layout_name);

INSTANTIATE_TEST_SUITE_P(
    Llama4Context, Layouts,
    ::testing::ValuesIn(test::context_layouts({{"tp2_cp2", {.dp_shard = 1, .cp = 2, .tp = 2}, 4},
                                               {.name = "fsdp2_cp2_full_ac",
                                                .degrees = {.dp_shard = 2, .cp = 2},
                                                .ranks = 4,
                                                .ac = ActivationCheckpointMode::kFull}})),
    test::layout_name);

INSTANTIATE_TEST_SUITE_P(
    Llama4Experts, Layouts,
    ::testing::ValuesIn(test::expert_layouts(
        {{"tp2_ep2_etp1", {.dp_shard = 1, .tp = 2, .ep = 2}, 2},
         {"fsdp2_tp2_ep2_etp2", {.dp_shard = 2, .tp = 2, .ep = 2, .etp = 2}, 4}})),
    test::layout_name);

}  // namespace
}  // namespace titan::models::llama4
