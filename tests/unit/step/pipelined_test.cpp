// A step of a small Llama in pipeline stages, by every schedule: that of one rank.
#include "titan/step/pipelined.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <random>

#include "support/local_ranks.h"
#include "support/named_tensors.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/components/loss/loss.h"
#include "titan/components/optimizer/optimizer.h"
#include "titan/config/job_config.h"
#include "titan/models/llama3/model.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/parallel/clip_grad_norm.h"
#include "titan/schedule/lowering.h"
#include "titan/step/build_model_parts.h"
#include "titan/step/build_step_runner.h"

namespace titan::step {
namespace {

using mesh::MeshDim;

constexpr std::int64_t kLength = 8;
constexpr std::int64_t kVocabulary = 50;

struct Job {
  std::string schedule = "1F1B";
  mesh::Degrees degrees = {};
  std::int64_t ranks = 1;
  std::int64_t microbatches = 4;  // of a local batch
  std::int64_t rows = 1;          // of a microbatch
  std::int64_t accumulated = 1;   // local batches
  std::int64_t layers = 6;
  config::ActivationCheckpointMode ac = config::ActivationCheckpointMode::kNone;
  bool async_tensor = false;
  bool tied = false;  // the output layer's weight and the embedding's
  bool by_document = false;
};

std::ostream& operator<<(std::ostream& out, const Job& job) {
  return out << job.schedule << " on " << job.ranks << " ranks, " << job.microbatches
             << " microbatches";
}

models::llama3::TransformerModelArgs args_of(const Job& job) {
  models::llama3::TransformerModelArgs args;
  args.dim = 16;
  args.n_layers = job.layers;
  args.n_heads = 4;
  args.multiple_of = 8;
  args.vocabulary = kVocabulary;
  args.max_seq_len = kLength;
  args.enable_weight_tying = job.tied;
  if (job.by_document) args.attn_mask_type = models::llama3::AttentionMaskType::kBlockCausal;
  return args;
}

config::JobConfig config_of(const Job& job) {
  config::JobConfig config;
  config.parallelism.pipeline_parallel_degree = job.degrees.pp;
  config.parallelism.pipeline_parallel_schedule = job.schedule;
  config.parallelism.pipeline_parallel_microbatch_size = job.rows;
  config.parallelism.disable_loss_parallel = true;
  config.parallelism.enable_async_tensor_parallel = job.async_tensor;
  config.training.local_batch_size = job.microbatches * job.rows;
  config.training.seq_len = kLength;
  config.data.document_mask = job.by_document;
  config.training.mixed_precision_param = config::DType::kFloat32;
  config.activation_checkpoint.mode = job.ac;
  config.activation_checkpoint.selective_ac_option = "op";
  config.optimizer.eps = 1e-3;  // else Adam makes large steps of rounding
  return config;
}

/// Row `row` of all the data.
void add_row(protocols::Batch& batch, std::int64_t row) {
  std::mt19937_64 random(static_cast<std::uint64_t>(row) + 1);
  for (std::int64_t i = 0; i < kLength; ++i) {
    batch.input.push_back(static_cast<std::int64_t>(random() % kVocabulary));
    batch.document_starts.push_back(i % 3 == row % 3);
    batch.labels.push_back(i % 5 == row % 5 ? protocols::kIgnoreIndex
                                            : static_cast<std::int64_t>(random() % kVocabulary));
  }
  ++batch.rows;
}

/// The batches of one data rank.
std::vector<protocols::Batch> batches_of(const Job& job, std::int64_t data_rank,
                                         std::int64_t data_ranks) {
  const std::int64_t rows = job.microbatches * job.rows;
  std::vector<protocols::Batch> result;
  for (std::int64_t a = 0; a < job.accumulated; ++a) {
    protocols::Batch& batch = result.emplace_back();
    batch.rows = 0;
    batch.seq_len = kLength;
    for (std::int64_t i = 0; i < rows; ++i) add_row(batch, (a * data_ranks + data_rank) * rows + i);
  }
  return result;
}

protocols::TrainSpec spec() {
  protocols::TrainSpec spec = models::llama3::train_spec({});
  return spec;
}

struct Outcome {
  double loss = 0;
  double validation = 0;
  double norm = 0;
  at::Tensor logits;
  std::map<std::string, at::Tensor> weights;
  std::map<std::string, at::Tensor> gradients;
  std::map<std::string, at::Tensor> updated;  // weights
};

/// A tensor that several stages have is the same on all of them.
void add_whole(std::map<std::string, at::Tensor>& all, const std::string& name,
               const at::Tensor& whole) {
  const auto [known, is_new] = all.try_emplace(name, whole.clone());
  if (!is_new) {
    EXPECT_TRUE(known->second.equal(whole)) << name;
  }
}

/// `data_ranks`: of the job whose data these are.
Outcome run_rank(comm::RankContext context, const Job& job, std::int64_t data_ranks) {
  const config::JobConfig config = config_of(job);
  context.generator = at::make_generator<at::CPUGeneratorImpl>(5);
  RankModel model = build_model_parts(spec(), args_of(job), context, config);
  init_model_parts(model.parts, context, config.training);
  const auto runner =
      build_step_runner(spec(), {model.parts, context, config, components::cross_entropy_loss});
  std::vector<protocols::Batch> batches;
  for (std::int64_t rank = 0; rank < data_ranks; ++rank) {
    const bool is_one_rank = context.world_size == 1;
    if (!is_one_rank && rank != context.dims.coordinate(MeshDim::kBatch, context.rank)) continue;
    for (protocols::Batch& batch : batches_of(job, rank, data_ranks)) {
      batches.push_back(std::move(batch));
    }
  }
  const double tokens =
      static_cast<double>(data_ranks * job.accumulated * job.microbatches * job.rows * kLength);
  Outcome outcome;
  outcome.loss = runner->forward_backward(batches, at::scalar_tensor(tokens), 1).item<double>();
  const auto parameters = protocols::parameters_of(model.parts);
  outcome.norm = parallel::total_grad_norm(parameters, context).item<double>();
  {
    const c10::NoGradGuard no_grad;
    outcome.validation = runner->loss_sum(batches[0]).item<double>();
    outcome.logits = runner->logits(at::tensor({3, 1, 4}, at::kLong).unsqueeze(0));
  }
  const auto named = protocols::named_parameters(model.parts);
  const auto whole = [&](const at::Tensor& local, const nn::Parameter* parameter) {
    return parallel::full_tensor(local, *parameter, context);
  };
  for (const auto& [name, parameter] : named) {
    add_whole(outcome.weights, name, whole(parameter->tensor, parameter));
    add_whole(outcome.gradients, name, whole(parameter->tensor.grad(), parameter));
  }
  parallel::clip_grads_with_norm_(parameters, 0.5 * outcome.norm, at::scalar_tensor(outcome.norm));
  components::build_optimizers(named, config.optimizer)->step();
  for (const auto& [name, parameter] : named) {
    add_whole(outcome.updated, name, whole(parameter->tensor, parameter));
  }
  if (const auto* pipelined = dynamic_cast<const Pipelined*>(runner.get())) {
    EXPECT_GT(pipelined->runtime().actions().size(), 0u);
  }
  return outcome;
}

/// The outcome of a job; losses are summed over those that compute parts of them.
Outcome run(const Job& job) {
  const std::int64_t data_ranks =
      job.degrees.dp_replicate * std::max<std::int64_t>(1, job.degrees.dp_shard);
  std::mutex mutex;
  Outcome all;
  test::on_local_ranks(job.degrees, job.ranks, [&](const comm::RankContext& context) {
    const Outcome one = run_rank(context, job, data_ranks);
    const std::lock_guard lock(mutex);
    const double share = static_cast<double>(context.dims.size(MeshDim::kTp));
    all.loss += one.loss / share;
    if (context.dims.coordinate(MeshDim::kBatch, context.rank) == 0) {
      all.validation += one.validation / share;
    }
    if (all.logits.defined()) {
      EXPECT_TRUE(all.logits.equal(one.logits));
      EXPECT_DOUBLE_EQ(all.norm, one.norm);
    }
    all.logits = one.logits;
    all.norm = one.norm;
    for (const auto& [name, gradient] : one.gradients) {
      add_whole(all.gradients, name, gradient);
      add_whole(all.weights, name, one.weights.at(name));
      add_whole(all.updated, name, one.updated.at(name));
    }
  });
  return all;
}

Outcome run_on_one_rank(Job job) {
  const std::int64_t data_ranks =
      job.degrees.dp_replicate * std::max<std::int64_t>(1, job.degrees.dp_shard);
  job.degrees = {.dp_shard = 1};
  job.ac = config::ActivationCheckpointMode::kNone;
  return run_rank(comm::RankContext(), job, data_ranks);
}

void expect_same(const Outcome& actual, const Outcome& expected) {
  EXPECT_NEAR(actual.loss, expected.loss, 1e-6 * expected.loss);
  EXPECT_NEAR(actual.norm, expected.norm, 1e-5 * expected.norm);
  EXPECT_NEAR(actual.validation, expected.validation, 1e-6 * expected.validation);
  EXPECT_LE((actual.logits - expected.logits).abs().max().item<double>(), 1e-5);
  test::expect_close(actual.weights, expected.weights, 0);
  test::expect_close(actual.gradients, expected.gradients, 1e-5);
  test::expect_close(actual.updated, expected.updated, 1e-6);
}

class PipelinedSteps : public ::testing::TestWithParam<Job> {};

TEST_P(PipelinedSteps, AreThoseOfOneRank) {
  expect_same(run(GetParam()), run_on_one_rank(GetParam()));
}

constexpr mesh::Degrees kTwo = {.dp_shard = 1, .pp = 2};
constexpr mesh::Degrees kFour = {.dp_shard = 1, .pp = 4};

INSTANTIATE_TEST_SUITE_P(
    Schedules, PipelinedSteps,
    ::testing::Values(Job{"1F1B", kTwo, 2, 2}, Job{"1F1B", kTwo, 2, 4, 2}, Job{"GPipe", kTwo, 2, 4},
                      Job{"Interleaved1F1B", kTwo, 2, 4}, Job{"LoopedBFS", kTwo, 2, 4},
                      Job{"InterleavedZeroBubble", kTwo, 2, 4}, Job{"ZBVZeroBubble", kTwo, 2, 2},
                      Job{"ZBVZeroBubble", kTwo, 2, 4}, Job{"DualPipeV", kTwo, 2, 4},
                      Job{"1F1B", kFour, 4, 4}, Job{"GPipe", kFour, 4, 8},
                      Job{"Interleaved1F1B", kFour, 4, 8}, Job{"LoopedBFS", kFour, 4, 4},
                      Job{"InterleavedZeroBubble", kFour, 4, 8}, Job{"ZBVZeroBubble", kFour, 4, 8},
                      Job{"DualPipeV", kFour, 4, 8}));

INSTANTIATE_TEST_SUITE_P(
    WithOtherAxes, PipelinedSteps,
    ::testing::Values(
        Job{"1F1B", {.dp_shard = 2, .pp = 2}, 4, 4},
        Job{"ZBVZeroBubble", {.dp_shard = 2, .pp = 2}, 4, 4},
        Job{.schedule = "1F1B", .degrees = {.dp_shard = 2, .pp = 2}, .ranks = 4, .accumulated = 2},
        Job{"1F1B", {.dp_shard = 1, .tp = 2, .pp = 2}, 4, 4},
        Job{"DualPipeV", {.dp_shard = 1, .tp = 2, .pp = 2}, 4, 4},
        Job{"Interleaved1F1B", {.dp_shard = 2, .tp = 2, .pp = 2}, 8, 4},
        Job{"1F1B", {.dp_replicate = 2, .dp_shard = 2, .pp = 2}, 8, 4},
        Job{"1F1B", {.dp_replicate = 2, .dp_shard = 1, .pp = 4}, 8, 4},
        Job{.schedule = "ZBVZeroBubble",
            .degrees = {.dp_replicate = 2, .dp_shard = 1, .pp = 2},
            .ranks = 4,
            .accumulated = 2}));

/// A job whose first and last stage share a weight.
Job tied(Job job) {
  job.tied = true;
  return job;
}

INSTANTIATE_TEST_SUITE_P(
    WithTiedWeights, PipelinedSteps,
    ::testing::Values(tied({"1F1B", kTwo, 2, 4}), tied({"GPipe", kFour, 4, 4}),
                      tied({"Interleaved1F1B", kTwo, 2, 4}),
                      tied({"InterleavedZeroBubble", kTwo, 2, 4}),
                      tied({"ZBVZeroBubble", kTwo, 2, 4}), tied({"DualPipeV", kFour, 4, 8}),
                      tied({"1F1B", {.dp_shard = 2, .pp = 2}, 4, 4}),
                      tied({"ZBVZeroBubble", {.dp_shard = 2, .pp = 2}, 4, 4}),
                      tied({"Interleaved1F1B", {.dp_shard = 2, .tp = 2, .pp = 2}, 8, 4}),
                      tied({"DualPipeV", {.dp_shard = 1, .tp = 2, .pp = 2}, 4, 4}),
                      tied({.schedule = "1F1B",
                            .degrees = {.dp_replicate = 2, .dp_shard = 1, .pp = 2},
                            .ranks = 4,
                            .accumulated = 2}),
                      tied({.schedule = "InterleavedZeroBubble",
                            .degrees = kTwo,
                            .ranks = 2,
                            .ac = config::ActivationCheckpointMode::kFull})));

INSTANTIATE_TEST_SUITE_P(
    OfSharedTexts, PipelinedSteps,
    ::testing::Values(Job{"1F1B", {.dp_shard = 1, .cp = 2}, 2, 4},  // one stage
                      Job{"1F1B", {.dp_shard = 1, .cp = 2, .pp = 2}, 4, 4},
                      Job{"ZBVZeroBubble", {.dp_shard = 2, .cp = 2, .pp = 2}, 8, 4},
                      Job{"Interleaved1F1B", {.dp_shard = 2, .cp = 2, .tp = 2, .pp = 2}, 16, 4},
                      Job{.schedule = "1F1B",
                          .degrees = {.dp_shard = 1, .cp = 2, .pp = 2},
                          .ranks = 4,
                          .by_document = true},
                      Job{.schedule = "1F1B",
                          .degrees = {.dp_shard = 2, .cp = 2},
                          .ranks = 4,
                          .accumulated = 2,
                          .by_document = true}));

INSTANTIATE_TEST_SUITE_P(WithAsyncTensor, PipelinedSteps,
                         ::testing::Values(Job{.schedule = "1F1B",
                                               .degrees = {.dp_shard = 1, .tp = 2, .pp = 2},
                                               .ranks = 4,
                                               .async_tensor = true},
                                           Job{.schedule = "ZBVZeroBubble",
                                               .degrees = {.dp_shard = 1, .tp = 2, .pp = 2},
                                               .ranks = 4,
                                               .async_tensor = true},
                                           Job{.schedule = "DualPipeV",
                                               .degrees = {.dp_shard = 2, .tp = 2, .pp = 2},
                                               .ranks = 8,
                                               .async_tensor = true}));

INSTANTIATE_TEST_SUITE_P(
    Recomputed, PipelinedSteps,
    ::testing::Values(Job{.schedule = "1F1B",
                          .degrees = kTwo,
                          .ranks = 2,
                          .ac = config::ActivationCheckpointMode::kFull},
                      Job{.schedule = "ZBVZeroBubble",
                          .degrees = kTwo,
                          .ranks = 2,
                          .ac = config::ActivationCheckpointMode::kFull},
                      Job{.schedule = "InterleavedZeroBubble",
                          .degrees = kTwo,
                          .ranks = 2,
                          .ac = config::ActivationCheckpointMode::kSelective}));

}  // namespace
}  // namespace titan::step
