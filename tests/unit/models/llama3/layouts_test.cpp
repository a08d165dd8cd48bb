// A step of a small Llama on every layout: loss, gradients and weights are those of one rank.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randint.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>

#include "support/local_ranks.h"
#include "support/named_tensors.h"
#include "titan/base/errors.h"
#include "titan/components/loss/loss.h"
#include "titan/components/loss/vocabulary_parallel_loss.h"
#include "titan/config/job_config.h"
#include "titan/models/llama3/model.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/parallel/context_parallel.h"
#include "titan/parallel/layout.h"
#include "titan/parallel/tensor_parallel.h"

namespace titan::models::llama3 {
namespace {

using config::ActivationCheckpointMode;
using mesh::MeshDim;

using Tensors = std::map<std::string, at::Tensor>;

/// What a step leaves behind, as full tensors.
struct Outcome {
  double loss = 0;
  Tensors weights;
  Tensors gradients;
};

struct Job {
  std::string name;
  mesh::Degrees degrees = {};
  std::int64_t ranks = 1;
  std::int64_t vocabulary = 48;
  std::int64_t multiple_of = 4;
  bool loss_in_parts = true;
  ActivationCheckpointMode ac = ActivationCheckpointMode::kNone;
  std::string selective = "op";
  std::int64_t microbatches = 1;
  std::int64_t rows = 4;
  std::int64_t length = 24;
  bool async = false;
  config::RotateMethod rotation = config::RotateMethod::kAllGather;
  bool head_tail = true;
  /// The layers' fast paths, on the one rank too.
  bool fast = false;
  /// Products of a part of the rows are so small that the library has another way for them.
  bool few_rows = false;
};

std::ostream& operator<<(std::ostream& out, const Job& job) { return out << job.name; }

TransformerModelArgs args_of(const Job& job) {
  TransformerModelArgs args;
  args.dim = 24;
  args.n_layers = 3;
  args.n_heads = 12;
  args.n_kv_heads = 6;
  args.vocabulary = job.vocabulary;
  args.multiple_of = job.multiple_of;
  args.max_seq_len = job.length;
  return args;
}

at::Tensor tokens(const Job& job, std::uint64_t seed) {
  return at::randint(job.vocabulary, {job.rows, job.length},
                     at::make_generator<at::CPUGeneratorImpl>(seed), at::kLong);
}

at::Tensor loss_of(const at::Tensor& logits, const at::Tensor& labels, const Job& job,
                   const comm::RankContext& context, const config::JobConfig& config) {
  if (!parallel::computes_loss_in_parts(context.dims, config.parallelism)) {
    return components::cross_entropy_loss(logits, labels);
  }
  return components::vocabulary_parallel_cross_entropy_loss(logits, labels, job.vocabulary,
                                                            context.group(MeshDim::kTp));
}

/// Forward and backward of this rank's part of its rows; returns its part of the mean loss.
double step(Transformer& model, parallel::Sharding& sharding, const Job& job,
            const comm::RankContext& context, const config::JobConfig& config) {
  const std::int64_t data_ranks = context.dims.size(MeshDim::kBatch);
  const std::int64_t data_rank = context.dims.coordinate(MeshDim::kBatch, context.rank);
  const std::int64_t rows = job.rows / data_ranks / job.microbatches;
  const parallel::TextCut cut = parallel::text_cut(context, config.parallelism);
  double total = 0;
  for (std::int64_t m = 0; m < job.microbatches; ++m) {
    const std::int64_t first = (data_rank * job.microbatches + m) * rows;
    sharding.set_requires_gradient_sync(m + 1 == job.microbatches ||
                                        sharding.sums_every_microbatch());
    const auto part_of_rows = [&](const at::Tensor& all) {
      return cut.part_of(all.narrow(0, first, rows), 1);
    };
    const at::Tensor logits =
        model.call(part_of_rows(tokens(job, 1)), cut.sequence(job.length, at::kCPU));
    const at::Tensor loss = loss_of(logits, part_of_rows(tokens(job, 2)), job, context, config) /
                            static_cast<double>(job.rows * job.length);
    loss.backward();
    total += loss.item<double>();
  }
  return total;
}

Outcome run_rank(const comm::RankContext& context, const Job& job) {
  Transformer model(args_of(job), at::kFloat);
  config::JobConfig config;
  config.parallelism.disable_loss_parallel = !job.loss_in_parts;
  config.parallelism.enable_async_tensor_parallel = job.async;
  config.parallelism.context_parallel_rotate_method = job.rotation;
  if (!job.head_tail) config.parallelism.context_parallel_load_balancer.reset();
  config.compile.enable = job.fast;
  config.compile.components = {"model"};
  config.training.mixed_precision_param = config::DType::kFloat32;
  config.activation_checkpoint.mode = job.ac;
  config.activation_checkpoint.selective_ac_option = job.selective;
  const auto sharding = parallelize_llama(model, context, config);
  model.to_empty(at::kCPU);
  {
    const c10::NoGradGuard no_grad;
    model.init_weights(at::make_generator<at::CPUGeneratorImpl>(7), std::nullopt);
  }
  Outcome outcome;
  outcome.loss = step(model, *sharding, job, context, config);
  std::vector<nn::Parameter*> parameters;
  for (const auto& [name, parameter] : model.named_parameters()) parameters.push_back(parameter);
  parallel::sum_partial_gradients(parameters, context);
  for (const auto& [name, parameter] : model.named_parameters()) {
    const at::Tensor& tensor = parameter->tensor;
    outcome.weights[name] = parallel::full_tensor(tensor, *parameter, context).clone();
    EXPECT_TRUE(tensor.grad().defined()) << name;
    if (!tensor.grad().defined()) continue;
    outcome.gradients[name] = parallel::full_tensor(tensor.grad(), *parameter, context).clone();
  }
  return outcome;
}

/// The outcome of rank 0, after it was held against every other rank's; with the loss of all data.
Outcome run(const Job& job) {
  std::mutex mutex;
  std::vector<Outcome> outcomes(static_cast<std::size_t>(job.ranks));
  double loss = 0;
  test::on_local_ranks(job.degrees, job.ranks, [&](const comm::RankContext& context) {
    Outcome outcome = run_rank(context, job);
    const std::lock_guard lock(mutex);
    loss += outcome.loss / static_cast<double>(context.dims.size(MeshDim::kTp));
    outcomes[static_cast<std::size_t>(context.rank)] = std::move(outcome);
  });
  for (const Outcome& other : outcomes) {
    EXPECT_EQ(other.gradients.size(), outcomes[0].gradients.size());
    for (const auto& [name, gradient] : other.gradients) {
      EXPECT_TRUE(gradient.equal(outcomes[0].gradients[name])) << name;
      EXPECT_TRUE(other.weights.at(name).equal(outcomes[0].weights[name])) << name;
    }
  }
  outcomes[0].loss = loss;
  return outcomes[0];
}

void expect_same(const Outcome& actual, const Outcome& expected) {
  EXPECT_NEAR(actual.loss, expected.loss, 1e-6 * expected.loss);
  test::expect_close(actual.weights, expected.weights, 0);
  test::expect_close(actual.gradients, expected.gradients, 1e-5);
}

class Layouts : public ::testing::TestWithParam<Job> {};

void expect_step_of_one_rank(const Job& job) {
  Job one = job;
  one.degrees = {};
  one.ranks = 1;
  one.ac = ActivationCheckpointMode::kNone;
  expect_same(run(job), run(one));
}

TEST_P(Layouts, GiveTheStepOfOneRank) { expect_step_of_one_rank(GetParam()); }

class SharedTexts : public ::testing::TestWithParam<Job> {};

TEST_P(SharedTexts, GiveTheStepOfOneRank) { expect_step_of_one_rank(GetParam()); }

constexpr mesh::Degrees kTensor2 = {.dp_shard = 1, .tp = 2};

INSTANTIATE_TEST_SUITE_P(
    Tensor, Layouts,
    ::testing::Values(
        Job{"tp2", kTensor2, 2}, Job{"tp3", {.dp_shard = 1, .tp = 3}, 3},
        Job{"tp6", {.dp_shard = 1, .tp = 6}, 6},
        Job{.name = "whole_loss", .degrees = kTensor2, .ranks = 2, .loss_in_parts = false},
        // 50 rows on three ranks: 17, 17, 16. 64 hidden features: 22, 22, 20.
        Job{.name = "uneven", .degrees = {.dp_shard = 1, .tp = 3}, .ranks = 3, .vocabulary = 50},
        Job{.name = "uneven_whole_loss",
            .degrees = {.dp_shard = 1, .tp = 3},
            .ranks = 3,
            .vocabulary = 50,
            .loss_in_parts = false},
        // Nothing of eight rows is left for the last two of six ranks.
        Job{.name = "empty", .degrees = {.dp_shard = 1, .tp = 6}, .ranks = 6, .vocabulary = 8},
        Job{.name = "accumulated", .degrees = kTensor2, .ranks = 2, .microbatches = 2}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(TensorRecomputed, Layouts,
                         ::testing::Values(Job{.name = "full",
                                               .degrees = kTensor2,
                                               .ranks = 2,
                                               .ac = ActivationCheckpointMode::kFull},
                                           Job{.name = "every_second",
                                               .degrees = kTensor2,
                                               .ranks = 2,
                                               .ac = ActivationCheckpointMode::kSelective,
                                               .selective = "2"},
                                           Job{.name = "by_operator",
                                               .degrees = {2, 2, 1, 2},
                                               .ranks = 8,
                                               .ac = ActivationCheckpointMode::kSelective}),
                         [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    TensorAndData, Layouts,
    ::testing::Values(Job{"fsdp2_tp2", {.dp_shard = 2, .tp = 2}, 4},
                      Job{"fsdp4_tp2", {.dp_shard = 4, .tp = 2}, 8},
                      Job{"hsdp2x2_tp2", {.dp_replicate = 2, .dp_shard = 2, .tp = 2}, 8},
                      Job{"ddp2_tp2", {.dp_replicate = 2, .dp_shard = 1, .tp = 2}, 4},
                      Job{.name = "fsdp2_tp3_uneven",
                          .degrees = {.dp_shard = 2, .tp = 3},
                          .ranks = 6,
                          .vocabulary = 50},
                      Job{.name = "fsdp4_tp6_empty",
                          .degrees = {.dp_shard = 4, .tp = 6},
                          .ranks = 24,
                          .vocabulary = 9,
                          .few_rows = true},
                      Job{.name = "fsdp2_tp2_accumulated",
                          .degrees = {.dp_shard = 2, .tp = 2},
                          .ranks = 4,
                          .microbatches = 2},
                      Job{.name = "ddp2_tp2_accumulated",
                          .degrees = {.dp_replicate = 2, .dp_shard = 1, .tp = 2},
                          .ranks = 4,
                          .microbatches = 2}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Context, SharedTexts,
    ::testing::Values(
        Job{"cp2", {.dp_shard = 1, .cp = 2}, 2}, Job{"cp3", {.dp_shard = 1, .cp = 3}, 3},
        Job{.name = "cp4_alltoall",
            .degrees = {.dp_shard = 1, .cp = 4},
            .ranks = 4,
            .rotation = config::RotateMethod::kAllToAll},
        Job{.name = "cp4_in_turn",
            .degrees = {.dp_shard = 1, .cp = 4},
            .ranks = 4,
            .rotation = config::RotateMethod::kAllToAll,
            .head_tail = false},
        Job{.name = "cp2_fast", .degrees = {.dp_shard = 1, .cp = 2}, .ranks = 2, .fast = true},
        Job{.name = "cp4_alltoall_fast",
            .degrees = {.dp_shard = 1, .cp = 4},
            .ranks = 4,
            .rotation = config::RotateMethod::kAllToAll,
            .fast = true},
        Job{.name = "cp4_in_turn_fast",
            .degrees = {.dp_shard = 1, .cp = 4},
            .ranks = 4,
            .head_tail = false,
            .fast = true},
        Job{.name = "cp2_long_fast",
            .degrees = {.dp_shard = 1, .cp = 2},
            .ranks = 2,
            .rows = 1,
            .length = 256,
            .fast = true},
        Job{.name = "cp2_accumulated",
            .degrees = {.dp_shard = 1, .cp = 2},
            .ranks = 2,
            .microbatches = 2},
        Job{.name = "cp2_full",
            .degrees = {.dp_shard = 1, .cp = 2},
            .ranks = 2,
            .ac = ActivationCheckpointMode::kFull},
        Job{.name = "cp2_by_operator",
            .degrees = {.dp_shard = 1, .cp = 2},
            .ranks = 2,
            .ac = ActivationCheckpointMode::kSelective},
        Job{"fsdp2_cp2", {.dp_shard = 2, .cp = 2}, 4},
        Job{"replicate2_cp2", {.dp_replicate = 2, .dp_shard = 1, .cp = 2}, 4},
        Job{"hsdp2x2_cp2", {.dp_replicate = 2, .dp_shard = 2, .cp = 2}, 8}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    ContextAndTensor, Layouts,
    ::testing::Values(Job{"tp2_cp2", {.dp_shard = 1, .cp = 2, .tp = 2}, 4},
                      Job{"fsdp2_tp2_cp2", {.dp_shard = 2, .cp = 2, .tp = 2}, 8}),
    [](const auto& test) { return test.param.name; });

std::vector<Job> context_matrix() {
  const char* asked = std::getenv("TITAN_CONTEXT_MATRIX");
  const bool full = asked != nullptr && std::string(asked) == "full";
  std::vector<Job> result;
  for (const std::int64_t ranks : {2, 4}) {
    for (const auto rotation :
         {config::RotateMethod::kAllGather, config::RotateMethod::kAllToAll}) {
      for (const bool head_tail : {true, false}) {
        for (const std::int64_t rows : {1, 2}) {
          for (const std::int64_t length : {256, 2048}) {
            // A part of them in the usual run.
            const bool is_usual = length == 256 && rows == 1 && (ranks == 2) == head_tail;
            if (!full && !is_usual) continue;
            Job job{.name = "",
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
                         [](const auto& test) { return test.param.name; });

/// Transfers go on while parts of products are made. Additions over ranks have the same order; so have those of a
/// product, as long as the library multiplies a part of the rows as it does all of them.
TEST_P(Layouts, OverlappedTransfersChangeNothing) {
  Job async = GetParam();
  async.async = true;
  const Outcome expected = run(GetParam());
  const Outcome actual = run(async);
  expect_same(actual, expected);
  if (GetParam().few_rows) return;
  EXPECT_EQ(actual.loss, expected.loss);
  for (const auto& [name, gradient] : expected.gradients) {
    EXPECT_TRUE(actual.gradients.at(name).equal(gradient)) << name;
  }
}

}  // namespace
}  // namespace titan::models::llama3
