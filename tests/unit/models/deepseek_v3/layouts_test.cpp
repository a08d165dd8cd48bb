// A step of a small DeepSeek on every layout: loss, gradients, weights, norm and expert biases are those of one rank.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randint.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "support/local_ranks.h"
#include "support/named_tensors.h"
#include "titan/components/expert_balance/expert_balance.h"
#include "titan/components/loss/loss.h"
#include "titan/components/loss/vocabulary_parallel_loss.h"
#include "titan/config/job_config.h"
#include "titan/models/deepseek_v3/model.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/parallel/clip_grad_norm.h"
#include "titan/parallel/context_parallel.h"
#include "titan/parallel/layout.h"

namespace titan::models::deepseek_v3 {
namespace {

using config::ActivationCheckpointMode;
using mesh::MeshDim;

constexpr std::int64_t kRows = 4;
constexpr std::int64_t kLength = 12;
constexpr std::int64_t kVocabulary = 48;

using Tensors = std::map<std::string, at::Tensor>;

/// What a step leaves behind, as full tensors.
struct Outcome {
  double loss = 0;
  double norm = 0;
  Tensors gradients;
  Tensors biases;
};

struct Job {
  std::string name;
  mesh::Degrees degrees = {};
  std::int64_t ranks = 1;
  ActivationCheckpointMode ac = ActivationCheckpointMode::kNone;
  std::int64_t microbatches = 1;
  /// All tokens to one expert: most ranks get none.
  bool collapsed = false;
  bool only_matrix = false;  // with TITAN_EXPERT_MATRIX only
  /// The layers' fast paths, on the one rank too.
  bool fast = false;
};

std::ostream& operator<<(std::ostream& out, const Job& job) { return out << job.name; }

DeepSeekV3ModelArgs small_args() {
  DeepSeekV3ModelArgs args =
      *std::dynamic_pointer_cast<const DeepSeekV3ModelArgs>(flavors().at("tiny"));
  args.vocabulary = kVocabulary;
  args.max_seq_len = kLength;
  args.moe.num_expert_groups.reset();
  args.moe.num_limited_groups.reset();
  return args;
}

at::Tensor tokens(std::uint64_t seed) {
  return at::randint(kVocabulary, {kRows, kLength}, at::make_generator<at::CPUGeneratorImpl>(seed),
                     at::kLong);
}

at::Tensor loss_of(const at::Tensor& logits, const at::Tensor& labels,
                   const comm::RankContext& context) {
  if (!context.dims.tp_enabled()) return components::cross_entropy_loss(logits, labels);
  return components::vocabulary_parallel_cross_entropy_loss(logits, labels, kVocabulary,
                                                            context.group(MeshDim::kTp));
}

/// Forward and backward of this rank's part of its rows; returns its part of the mean loss.
double step(Transformer& model, parallel::Sharding& sharding, const Job& job,
            const comm::RankContext& context) {
  const parallel::TextCut cut = parallel::text_cut(context, {});
  const std::int64_t data_rank = context.dims.coordinate(MeshDim::kBatch, context.rank);
  const std::int64_t rows = kRows / context.dims.size(MeshDim::kBatch) / job.microbatches;
  double total = 0;
  for (std::int64_t m = 0; m < job.microbatches; ++m) {
    const std::int64_t first = (data_rank * job.microbatches + m) * rows;
    sharding.set_requires_gradient_sync(m + 1 == job.microbatches ||
                                        sharding.sums_every_microbatch());
    const auto part_of_rows = [&](const at::Tensor& all) {
      return cut.part_of(all.narrow(0, first, rows), 1);
    };
    const at::Tensor logits = model.call(part_of_rows(tokens(1)), cut.sequence(kLength, at::kCPU));
    const at::Tensor loss =
        loss_of(logits, part_of_rows(tokens(2)), context) / static_cast<double>(kRows * kLength);
    loss.backward();
    total += loss.item<double>();
  }
  return total;
}

void collapse(Transformer& model) {
  for (const auto& [name, module] : model.named_modules()) {
    const auto* mixture = dynamic_cast<nn::MoE*>(module);
    if (mixture == nullptr) continue;
    mixture->expert_bias()[6] = 10;
    mixture->expert_bias()[7] = 10;
  }
}

Outcome run_rank(const comm::RankContext& context, const Job& job) {
  protocols::ModelParts parts(1);
  auto owned = std::make_unique<Transformer>(small_args(), at::kFloat);
  Transformer& model = *owned;
  parts[0].model = std::move(owned);
  config::JobConfig config;
  config.compile.enable = job.fast;
  config.compile.components = {"model"};
  config.training.mixed_precision_param = config::DType::kFloat32;
  config.activation_checkpoint.mode = job.ac;
  config.activation_checkpoint.selective_ac_option = "op";
  config.activation_checkpoint.per_op_sac_force_recompute_mm_shapes_by_fqns = {};
  parts[0].sharding = parallelize_deepseekv3(model, context, config);
  model.to_empty(at::kCPU);
  {
    const c10::NoGradGuard no_grad;
    model.init_weights(at::make_generator<at::CPUGeneratorImpl>(7), std::nullopt);
    if (job.collapsed) collapse(model);
  }
  components::ExpertBalance balance(parts, context);
  balance.begin_step();
  Outcome outcome;
  outcome.loss = step(model, *parts[0].sharding, job, context);
  const parallel::Parameters parameters = protocols::parameters_of(parts);
  parallel::sum_partial_gradients(parameters, context);
  outcome.norm = parallel::total_grad_norm(parameters, context).item<double>();
  balance.update();
  for (const auto& [name, parameter] : model.named_parameters()) {
    const at::Tensor& gradient = parameter->tensor.grad();
    EXPECT_TRUE(gradient.defined()) << name;
    if (!gradient.defined()) continue;
    outcome.gradients[name] = parallel::full_tensor(gradient, *parameter, context).clone();
  }
  for (const nn::NamedTensor& buffer : model.persistent_buffers()) {
    outcome.biases[buffer.name] = buffer.tensor.clone();
  }
  for (const protocols::ExpertLoad& load : balance.loads()) {
    EXPECT_EQ(load.tokens, kRows * kLength * 2) << load.layer;
    EXPECT_EQ(load.experts, 8) << load.layer;
    if (job.collapsed) {
      EXPECT_EQ(load.idle_experts, 6) << load.layer;
    }
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
    EXPECT_EQ(other.norm, outcomes[0].norm);
    EXPECT_EQ(other.biases.size(), outcomes[0].biases.size());
    for (const auto& [name, gradient] : other.gradients) {
      EXPECT_TRUE(gradient.equal(outcomes[0].gradients[name])) << name;
    }
    for (const auto& [name, bias] : other.biases) {
      EXPECT_TRUE(bias.equal(outcomes[0].biases[name])) << name;
    }
  }
  outcomes[0].loss = loss;
  return outcomes[0];
}

class DeepSeekLayouts : public ::testing::TestWithParam<Job> {};

TEST_P(DeepSeekLayouts, GiveTheStepOfOneRank) {
  if (GetParam().only_matrix && std::getenv("TITAN_EXPERT_MATRIX") == nullptr) {
    GTEST_SKIP() << "set TITAN_EXPERT_MATRIX";
  }
  Job one = GetParam();
  one.degrees = {};
  one.ranks = 1;
  one.microbatches = 1;
  one.ac = ActivationCheckpointMode::kNone;
  const Outcome actual = run(GetParam());
  const Outcome expected = run(one);
  EXPECT_NEAR(actual.loss, expected.loss, 1e-6 * expected.loss);
  EXPECT_NEAR(actual.norm, expected.norm, 1e-5 * expected.norm);
  ASSERT_EQ(expected.biases.size(), 2U);
  test::expect_close(actual.biases, expected.biases, 0);
  test::expect_close(actual.gradients, expected.gradients, 1e-5);
}

constexpr auto kFull = ActivationCheckpointMode::kFull;
constexpr auto kSelective = ActivationCheckpointMode::kSelective;

INSTANTIATE_TEST_SUITE_P(
    Experts, DeepSeekLayouts,
    ::testing::Values(Job{"one"}, Job{.name = "one_recomputed", .ac = kFull, .microbatches = 2},
                      Job{"fsdp2", {.dp_shard = 2}, 2}, Job{"tp2", {.dp_shard = 1, .tp = 2}, 2},
                      Job{"fsdp2_tp2", {.dp_shard = 2, .tp = 2}, 4},
                      Job{"fsdp2_ep2", {.dp_shard = 2, .ep = 2}, 2},
                      Job{"fsdp4_ep2", {.dp_shard = 4, .ep = 2}, 4},
                      Job{"fsdp4_ep4", {.dp_shard = 4, .ep = 4}, 4},
                      Job{"tp2_ep2_etp1", {.dp_shard = 1, .tp = 2, .ep = 2}, 2},
                      Job{"tp4_ep2_etp1", {.dp_shard = 1, .tp = 4, .ep = 2}, 4},
                      Job{"fsdp2_tp2_ep2_etp1", {.dp_shard = 2, .tp = 2, .ep = 2}, 4},
                      Job{"fsdp2_tp2_ep4_etp1", {.dp_shard = 2, .tp = 2, .ep = 4}, 4},
                      Job{"fsdp2_tp2_ep2_etp2", {.dp_shard = 2, .tp = 2, .ep = 2, .etp = 2}, 4},
                      Job{"hsdp2x2_ep2", {.dp_replicate = 2, .dp_shard = 2, .ep = 2}, 4}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Context, DeepSeekLayouts,
    ::testing::Values(
        Job{"cp2", {.dp_shard = 1, .cp = 2}, 2}, Job{"cp3", {.dp_shard = 1, .cp = 3}, 3},
        Job{.name = "cp2_fast", .degrees = {.dp_shard = 1, .cp = 2}, .ranks = 2, .fast = true},
        Job{.name = "cp3_fast", .degrees = {.dp_shard = 1, .cp = 3}, .ranks = 3, .fast = true},
        Job{"fsdp2_cp2", {.dp_shard = 2, .cp = 2}, 4},
        Job{"tp2_cp2", {.dp_shard = 1, .cp = 2, .tp = 2}, 4},
        Job{"cp2_ep2", {.dp_shard = 1, .cp = 2, .ep = 2}, 2},
        Job{"fsdp2_cp2_ep2", {.dp_shard = 2, .cp = 2, .ep = 2}, 4},
        Job{"fsdp2_cp2_ep4", {.dp_shard = 2, .cp = 2, .ep = 4}, 4},
        Job{.name = "by_operator_fsdp2_cp2_ep2",
            .degrees = {.dp_shard = 2, .cp = 2, .ep = 2},
            .ranks = 4,
            .ac = kSelective}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    More, DeepSeekLayouts,
    ::testing::Values(
        Job{.name = "collapsed_fsdp4_ep4",
            .degrees = {.dp_shard = 4, .ep = 4},
            .ranks = 4,
            .collapsed = true},
        Job{.name = "collapsed_fsdp2_tp2_ep4",
            .degrees = {.dp_shard = 2, .tp = 2, .ep = 4},
            .ranks = 4,
            .collapsed = true},
        Job{.name = "full_fsdp2_ep2", .degrees = {.dp_shard = 2, .ep = 2}, .ranks = 2, .ac = kFull},
        Job{.name = "by_operator_fsdp2_ep2",
            .degrees = {.dp_shard = 2, .ep = 2},
            .ranks = 2,
            .ac = kSelective},
        Job{.name = "accumulated_fsdp2_ep2",
            .degrees = {.dp_shard = 2, .ep = 2},
            .ranks = 2,
            .microbatches = 2},
        Job{.name = "full_accumulated_tp2_ep2",
            .degrees = {.dp_shard = 1, .tp = 2, .ep = 2},
            .ranks = 2,
            .ac = kFull,
            .microbatches = 2},
        // Too many ranks for the experts of each: cut within.
        Job{.name = "fsdp4_tp4_ep8_etp1",
            .degrees = {.dp_shard = 4, .tp = 4, .ep = 8},
            .ranks = 16,
            .only_matrix = true},
        Job{.name = "fsdp4_tp4_ep4_etp4",
            .degrees = {.dp_shard = 4, .tp = 4, .ep = 4, .etp = 4},
            .ranks = 16,
            .only_matrix = true},
        Job{.name = "hsdp2x2_tp2_ep2_etp2",
            .degrees = {.dp_replicate = 2, .dp_shard = 2, .tp = 2, .ep = 2, .etp = 2},
            .ranks = 8,
            .only_matrix = true}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace titan::models::deepseek_v3
