// A step of a small Llama on every layout: loss, gradients and weights are those of one rank.
#include <gtest/gtest.h>

#include <cstdlib>

#include "support/model_layouts.h"
#include "titan/base/errors.h"
#include "titan/models/llama3/model.h"
#include "titan/models/llama3/train_spec.h"

namespace titan::models::llama3 {
namespace {

using config::ActivationCheckpointMode;
using test::LayoutJob;

test::LayoutModel model_of(const LayoutJob& job) {
  test::LayoutModel model;
  if (job.vocabulary > 0) model.vocabulary = job.vocabulary;
  if (job.rows > 0) model.rows = job.rows;
  if (job.length > 0) model.length = job.length;
  TransformerModelArgs args;
  args.dim = 24;
  args.n_layers = 3;
  args.n_heads = 12;
  args.n_kv_heads = 6;
  args.vocabulary = model.vocabulary;
  args.multiple_of = 4;
  args.max_seq_len = model.length;
  model.build = [args] { return std::make_unique<Transformer>(args, at::kFloat); };
  model.parallelize = parallelize_llama;
  return model;
}

class Layouts : public ::testing::TestWithParam<LayoutJob> {};

TEST_P(Layouts, GiveTheStepOfOneRank) {
  test::expect_step_of_one_rank(model_of(GetParam()), GetParam());
}

class SharedTexts : public ::testing::TestWithParam<LayoutJob> {};

TEST_P(SharedTexts, GiveTheStepOfOneRank) {
  test::expect_step_of_one_rank(model_of(GetParam()), GetParam());
}

constexpr mesh::Degrees kTensor2 = {.dp_shard = 1, .tp = 2};

INSTANTIATE_TEST_SUITE_P(
    Tensor, Layouts,
    ::testing::Values(
        LayoutJob{"tp2", kTensor2, 2}, LayoutJob{"tp3", {.dp_shard = 1, .tp = 3}, 3},
        LayoutJob{"tp6", {.dp_shard = 1, .tp = 6}, 6},
        LayoutJob{.name = "whole_loss", .degrees = kTensor2, .ranks = 2, .loss_in_parts = false},
        // 50 rows on three ranks: 17, 17, 16. 64 hidden features: 22, 22, 20.
        LayoutJob{
            .name = "uneven", .degrees = {.dp_shard = 1, .tp = 3}, .ranks = 3, .vocabulary = 50},
        LayoutJob{.name = "uneven_whole_loss",
                  .degrees = {.dp_shard = 1, .tp = 3},
                  .ranks = 3,
                  .vocabulary = 50,
                  .loss_in_parts = false},
        // Nothing of eight rows is left for the last two of six ranks.
        LayoutJob{
            .name = "empty", .degrees = {.dp_shard = 1, .tp = 6}, .ranks = 6, .vocabulary = 8},
        LayoutJob{.name = "accumulated", .degrees = kTensor2, .ranks = 2, .microbatches = 2}),
    test::layout_name);

INSTANTIATE_TEST_SUITE_P(TensorRecomputed, Layouts,
                         ::testing::Values(LayoutJob{.name = "full",
                                                     .degrees = kTensor2,
                                                     .ranks = 2,
                                                     .ac = ActivationCheckpointMode::kFull},
                                           LayoutJob{.name = "every_second",
                                                     .degrees = kTensor2,
                                                     .ranks = 2,
                                                     .ac = ActivationCheckpointMode::kSelective,
                                                     .selective = "2"},
                                           LayoutJob{.name = "by_operator",
                                                     .degrees = {2, 2, 1, 2},
                                                     .ranks = 8,
                                                     .ac = ActivationCheckpointMode::kSelective}),
                         test::layout_name);

INSTANTIATE_TEST_SUITE_P(
    TensorAndData, Layouts,
    ::testing::Values(LayoutJob{"fsdp2_tp2", {.dp_shard = 2, .tp = 2}, 4},
                      LayoutJob{"fsdp4_tp2", {.dp_shard = 4, .tp = 2}, 8},
                      LayoutJob{"hsdp2x2_tp2", {.dp_replicate = 2, .dp_shard = 2, .tp = 2}, 8},
                      LayoutJob{"ddp2_tp2", {.dp_replicate = 2, .dp_shard = 1, .tp = 2}, 4},
                      LayoutJob{.name = "fsdp2_tp3_uneven",
                                .degrees = {.dp_shard = 2, .tp = 3},
                                .ranks = 6,
                                .vocabulary = 50},
                      LayoutJob{.name = "fsdp4_tp6_empty",
                                .degrees = {.dp_shard = 4, .tp = 6},
                                .ranks = 24,
                                .vocabulary = 9,
                                .few_rows = true},
                      LayoutJob{.name = "fsdp2_tp2_accumulated",
                                .degrees = {.dp_shard = 2, .tp = 2},
                                .ranks = 4,
                                .microbatches = 2},
                      LayoutJob{.name = "ddp2_tp2_accumulated",
                                .degrees = {.dp_replicate = 2, .dp_shard = 1, .tp = 2},
                                .ranks = 4,
                                .microbatches = 2}),
    test::layout_name);

INSTANTIATE_TEST_SUITE_P(Context, SharedTexts,
                         ::testing::ValuesIn(test::context_layouts(
                             {{"cp3", {.dp_shard = 1, .cp = 3}, 3},
                              {.name = "cp4_alltoall",
                               .degrees = {.dp_shard = 1, .cp = 4},
                               .ranks = 4,
                               .rotation = config::RotateMethod::kAllToAll},
                              {.name = "cp4_in_turn",
                               .degrees = {.dp_shard = 1, .cp = 4},
                               .ranks = 4,
                               .rotation = config::RotateMethod::kAllToAll,
                               .head_tail = false},
                              {.name = "cp2_long_fast",
                               .degrees = {.dp_shard = 1, .cp = 2},
                               .ranks = 2,
                               .rows = 1,
                               .length = 256,
                               .fast = true},
                              {.name = "cp2_accumulated",
                               .degrees = {.dp_shard = 1, .cp = 2},
                               .ranks = 2,
                               .microbatches = 2},
                              {.name = "cp2_full",
                               .degrees = {.dp_shard = 1, .cp = 2},
                               .ranks = 2,
                               .ac = ActivationCheckpointMode::kFull},
                              {.name = "cp2_by_operator",
                               .degrees = {.dp_shard = 1, .cp = 2},
                               .ranks = 2,
                               .ac = ActivationCheckpointMode::kSelective},
                              {"replicate2_cp2", {.dp_replicate = 2, .dp_shard = 1, .cp = 2}, 4},
                              {"hsdp2x2_cp2", {.dp_replicate = 2, .dp_shard = 2, .cp = 2}, 8}})),
                         test::layout_name);

INSTANTIATE_TEST_SUITE_P(
    ContextAndTensor, Layouts,
    ::testing::Values(LayoutJob{"tp2_cp2", {.dp_shard = 1, .cp = 2, .tp = 2}, 4},
                      LayoutJob{"fsdp2_tp2_cp2", {.dp_shard = 2, .cp = 2, .tp = 2}, 8}),
    test::layout_name);

std::vector<LayoutJob> context_matrix() {
  const char* asked = std::getenv("TITAN_CONTEXT_MATRIX");
  const bool full = asked != nullptr && std::string(asked) == "full";
  std::vector<LayoutJob> result;
  for (const std::int64_t ranks : {2, 4}) {
    for (const auto rotation :
         {config::RotateMethod::kAllGather, config::RotateMethod::kAllToAll}) {
      for (const bool head_tail : {true, false}) {
        for (const std::int64_t rows : {1, 2}) {
          for (const std::int64_t length : {256, 2048}) {
            // A part of them in the usual run.
            const bool is_usual = length == 256 && rows == 1 && (ranks == 2) == head_tail;
            if (!full && !is_usual) continue;
            LayoutJob job{.name = "",
                          .degrees = {.dp_shard = 1, .cp = ranks},
                          .ranks = ranks,
                          .rows = rows,
                          .length = length,
                          .rotation = rotation,
                          .head_tail = head_tail};
            job.name =
                concat("cp", ranks,
                       rotation == config::RotateMethod::kAllGather ? "_allgather" : "_alltoall",
                       head_tail ? "_head_tail" : "_in_turn", "_", rows, "x", length);
            result.push_back(job);
          }
        }
      }
    }
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(ContextLong, SharedTexts, ::testing::ValuesIn(context_matrix()),
                         test::layout_name);

/// Transfers go on while parts of products are made. Additions over ranks have the same order; so have those of a
/// product, as long as the library multiplies a part of the rows as it does all of them.
TEST_P(Layouts, OverlappedTransfersChangeNothing) {
  LayoutJob async = GetParam();
  async.async = true;
  const test::LayoutModel model = model_of(async);
  const test::StepOutcome expected = test::run_step(model, GetParam());
  const test::StepOutcome actual = test::run_step(model, async);
  test::expect_same_step(actual, expected);
  if (GetParam().few_rows) return;
  EXPECT_EQ(actual.loss, expected.loss);
  for (const auto& [name, gradient] : expected.gradients) {
    EXPECT_TRUE(actual.gradients.at(name).equal(gradient)) << name;
  }
}

}  // namespace
}  // namespace titan::models::llama3
