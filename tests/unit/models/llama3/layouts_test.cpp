// A step of a small Llama on every layout: loss, gradients and weights are those of one rank.
#include <gtest/gtest.h>

#include "support/model_layouts.h"
#include "titan/models/llama3/model.h"
#include "titan/models/llama3/train_spec.h"

namespace titan::models::llama3 {
namespace {

using config::ActivationCheckpointMode;

struct Job : test::LayoutJob {
  std::int64_t vocabulary = 48;
  std::int64_t multiple_of = 4;
  /// Products of a part of the rows are so small that the library has another way for them.
  bool few_rows = false;
};

test::LayoutModel model_of(const Job& job) {
  test::LayoutModel model;
  model.vocabulary = job.vocabulary;
  TransformerModelArgs args;
  args.dim = 24;
  args.n_layers = 3;
  args.n_heads = 12;
  args.n_kv_heads = 6;
  args.vocabulary = job.vocabulary;
  args.multiple_of = job.multiple_of;
  args.max_seq_len = model.length;
  model.build = [args] { return std::make_unique<Transformer>(args, at::kFloat); };
  model.parallelize = parallelize_llama;
  return model;
}

class Layouts : public ::testing::TestWithParam<Job> {};

TEST_P(Layouts, GiveTheStepOfOneRank) {
  const test::LayoutModel model = model_of(GetParam());
  test::expect_same_step(test::run_step(model, GetParam()),
                         test::run_step(model, GetParam().alone()));
}

constexpr mesh::Degrees kTensor2 = {.dp_shard = 1, .tp = 2};
constexpr mesh::Degrees kTensor3 = {.dp_shard = 1, .tp = 3};
constexpr mesh::Degrees kTensor6 = {.dp_shard = 1, .tp = 6};

INSTANTIATE_TEST_SUITE_P(
    Tensor, Layouts,
    ::testing::Values(
        Job{{"tp2", kTensor2, 2}}, Job{{"tp3", kTensor3, 3}}, Job{{"tp6", kTensor6, 6}},
        Job{{.name = "whole_loss", .degrees = kTensor2, .ranks = 2, .loss_in_parts = false}},
        // 50 rows on three ranks: 17, 17, 16. 64 hidden features: 22, 22, 20.
        Job{{"uneven", kTensor3, 3}, /*vocabulary=*/50},
        Job{{.name = "uneven_whole_loss", .degrees = kTensor3, .ranks = 3, .loss_in_parts = false},
            /*vocabulary=*/50},
        // Nothing of eight rows is left for the last two of six ranks.
        Job{{"empty", kTensor6, 6}, /*vocabulary=*/8},
        Job{{.name = "accumulated", .degrees = kTensor2, .ranks = 2, .microbatches = 2}}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(TensorRecomputed, Layouts,
                         ::testing::Values(Job{{.name = "full",
                                                .degrees = kTensor2,
                                                .ranks = 2,
                                                .ac = ActivationCheckpointMode::kFull}},
                                           Job{{.name = "every_second",
                                                .degrees = kTensor2,
                                                .ranks = 2,
                                                .ac = ActivationCheckpointMode::kSelective,
                                                .selective = "2"}},
                                           Job{{.name = "by_operator",
                                                .degrees = {2, 2, 1, 2},
                                                .ranks = 8,
                                                .ac = ActivationCheckpointMode::kSelective}}),
                         [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    TensorAndData, Layouts,
    ::testing::Values(Job{{"fsdp2_tp2", {.dp_shard = 2, .tp = 2}, 4}},
                      Job{{"fsdp4_tp2", {.dp_shard = 4, .tp = 2}, 8}},
                      Job{{"hsdp2x2_tp2", {.dp_replicate = 2, .dp_shard = 2, .tp = 2}, 8}},
                      Job{{"ddp2_tp2", {.dp_replicate = 2, .dp_shard = 1, .tp = 2}, 4}},
                      Job{{"fsdp2_tp3_uneven", {.dp_shard = 2, .tp = 3}, 6}, /*vocabulary=*/50},
                      Job{{"fsdp4_tp6_empty", {.dp_shard = 4, .tp = 6}, 24},
                          /*vocabulary=*/9,
                          /*multiple_of=*/4,
                          /*few_rows=*/true},
                      Job{{.name = "fsdp2_tp2_accumulated",
                           .degrees = {.dp_shard = 2, .tp = 2},
                           .ranks = 4,
                           .microbatches = 2}},
                      Job{{.name = "ddp2_tp2_accumulated",
                           .degrees = {.dp_replicate = 2, .dp_shard = 1, .tp = 2},
                           .ranks = 4,
                           .microbatches = 2}}),
    [](const auto& test) { return test.param.name; });

/// Transfers go on while parts of products are made. Additions over ranks have the same order; so have those of a
/// product, as long as the library multiplies a part of the rows as it does all of them.
TEST_P(Layouts, OverlappedTransfersChangeNothing) {
  Job async = GetParam();
  async.async = true;
  const test::LayoutModel model = model_of(GetParam());
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
