#include "titan/parallel/data_parallel.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <optional>

#include "support/local_ranks.h"
#include "titan/config/job_config.h"
#include "titan/models/llama3/model.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/layout.h"

namespace titan::parallel {
namespace {

using config::ActivationCheckpointMode;
using config::ReshardAfterForward;
using mesh::Degrees;
using mesh::MeshDim;

constexpr std::int64_t kVocabulary = 50;  // rows that no number of ranks here divides
constexpr std::int64_t kRows = 24;
constexpr std::int64_t kLength = 8;

using Tensors = std::map<std::string, at::Tensor>;

/// What a step leaves behind, as full tensors.
struct Outcome {
  Tensors weights;
  Tensors gradients;
};

struct Job {
  Degrees degrees;
  std::int64_t ranks = 1;
  ActivationCheckpointMode ac = ActivationCheckpointMode::kNone;
  ReshardAfterForward reshard = ReshardAfterForward::kDefault;
  std::int64_t microbatches = 1;
  /// Whether every microbatch but the last is without reduction.
  bool sync_last_only = false;
  bool frozen_embedding = false;
};

std::unique_ptr<models::llama3::Transformer> meta_llama() {
  models::llama3::TransformerModelArgs args;
  args.dim = 24;
  args.n_layers = 3;
  args.n_heads = 4;
  args.n_kv_heads = 2;
  args.vocabulary = kVocabulary;
  args.multiple_of = 4;
  args.max_seq_len = kLength;
  return std::make_unique<models::llama3::Transformer>(args, at::kFloat);
}

at::Tensor tokens(std::uint64_t seed) {
  return at::randint(kVocabulary, {kRows, kLength}, at::make_generator<at::CPUGeneratorImpl>(seed),
                     at::kLong);
}

/// Forward and backward of this rank's rows; returns its part of the mean loss.
void step(models::llama3::Transformer& model, Sharding& sharding, const comm::RankContext& context,
          const Job& job) {
  const comm::ProcessGroup& batch = context.group(MeshDim::kBatch);
  const std::int64_t rows = kRows / batch.size() / job.microbatches;
  for (std::int64_t m = 0; m < job.microbatches; ++m) {
    const std::int64_t first = (batch.rank() * job.microbatches + m) * rows;
    const at::Tensor input = tokens(1).narrow(0, first, rows);
    const at::Tensor labels = tokens(2).narrow(0, first, rows);
    sharding.set_requires_gradient_sync(!job.sync_last_only || m + 1 == job.microbatches);
    const at::Tensor logits = model.call(input);
    const at::Tensor loss =
        at::cross_entropy_loss(logits.flatten(0, 1), labels.flatten(), {}, at::Reduction::Sum);
    (loss / static_cast<double>(kRows * kLength)).backward();
  }
}

Outcome run_rank(const comm::RankContext& context, const Job& job) {
  const auto model = meta_llama();
  config::ActivationCheckpoint ac;
  ac.mode = job.ac;
  apply_ac(*model, "layers.*", ac, default_save_policy());
  config::Parallelism parallelism;
  parallelism.fsdp_reshard_after_forward = job.reshard;
  config::Training training;
  training.mixed_precision_param = config::DType::kFloat32;
  const UnitTable units = {
      {{"tok_embeddings"}}, {{"layers.*"}}, {{"norm", "output"}, /*is_last=*/true}};
  const auto sharding = apply_data_parallel(*model, units, context, parallelism, training);
  model->to_empty(at::kCPU);
  {
    const c10::NoGradGuard no_grad;
    model->init_weights(at::make_generator<at::CPUGeneratorImpl>(7), std::nullopt);
  }
  if (job.frozen_embedding) {
    model->named_parameters().front().parameter->tensor.set_requires_grad(false);
  }
  step(*model, *sharding, context, job);
  Outcome outcome;
  for (const auto& [name, parameter] : model->named_parameters()) {
    const at::Tensor& tensor = parameter->tensor;
    outcome.weights[name] = full_tensor(tensor, *parameter, context).clone();
    if (!tensor.grad().defined()) continue;
    outcome.gradients[name] = full_tensor(tensor.grad(), *parameter, context).clone();
  }
  return outcome;
}

/// The outcome of rank 0, after it was held against every other rank's.
Outcome run(const Job& job) {
  std::mutex mutex;
  std::optional<Outcome> first;
  test::on_local_ranks(job.degrees, job.ranks, [&](const comm::RankContext& context) {
    Outcome outcome = run_rank(context, job);
    const std::lock_guard lock(mutex);
    if (!first) {
      first = std::move(outcome);
      return;
    }
    for (const auto& [name, gradient] : outcome.gradients) {
      EXPECT_TRUE(gradient.equal(first->gradients.at(name))) << name << " differs between ranks";
    }
  });
  return first.value_or(Outcome{});
}

void expect_same_step(const Job& job, const Job& reference = {}) {
  const Outcome expected = run(reference);
  const Outcome outcome = run(job);
  ASSERT_EQ(outcome.weights.size(), expected.weights.size());
  for (const auto& [name, weight] : expected.weights) {
    EXPECT_TRUE(weight.equal(outcome.weights.at(name))) << name << " begins with other bits";
  }
  ASSERT_EQ(outcome.gradients.size(), expected.gradients.size());
  for (const auto& [name, gradient] : expected.gradients) {
    EXPECT_TRUE(at::allclose(outcome.gradients.at(name), gradient, 1e-4, 1e-7))
        << name << ": " << (outcome.gradients.at(name) - gradient).abs().max().item<float>();
  }
}

Job sharded(std::int64_t ranks) { return {{1, ranks}, ranks}; }

TEST(DataParallel, ShardedRanksHaveTheWeightsAndGradientsOfOneProcess) {
  for (const std::int64_t ranks : {2, 3, 4, 8}) {
    SCOPED_TRACE(ranks);
    expect_same_step(sharded(ranks));
  }
}

TEST(DataParallel, ReplicasHaveTheGradientsOfOneProcess) {
  expect_same_step({{2, 1}, 2});
  expect_same_step({{4, 1}, 4});
}

TEST(DataParallel, ReplicasOfShardsHaveTheGradientsOfOneProcess) {
  expect_same_step({{2, 2}, 4});
  expect_same_step({{2, 3}, 6});
}

TEST(DataParallel, CheckpointedActivationsFindTheParametersTheyAreRecomputedWith) {
  Job job = sharded(2);
  for (const auto ac : {ActivationCheckpointMode::kFull, ActivationCheckpointMode::kSelective}) {
    job.ac = ac;
    expect_same_step(job);
  }
}

TEST(DataParallel, EveryReshardPolicyGivesTheSameBits) {
  Job job = sharded(2);
  const Outcome expected = run(job);
  for (const auto policy : {ReshardAfterForward::kAlways, ReshardAfterForward::kNever}) {
    job.reshard = policy;
    const Outcome outcome = run(job);
    for (const auto& [name, gradient] : expected.gradients) {
      EXPECT_TRUE(gradient.equal(outcome.gradients.at(name))) << name;
    }
  }
}

TEST(DataParallel, MicrobatchesAddUpWithAndWithoutReductionInBetween) {
  for (const bool sync_last_only : {false, true}) {
    SCOPED_TRACE(sync_last_only);
    Job job = sharded(2);
    job.microbatches = 3;
    job.sync_last_only = sync_last_only;
    expect_same_step(job);
  }
  Job ddp = {{2, 1}, 2};
  ddp.microbatches = 3;
  ddp.sync_last_only = true;
  expect_same_step(ddp);
}

TEST(DataParallel, FrozenParametersAreGatheredButNotReduced) {
  Job reference;
  reference.frozen_embedding = true;
  Job job = sharded(2);
  job.frozen_embedding = true;
  expect_same_step(job, reference);
  EXPECT_EQ(run(job).gradients.count("tok_embeddings.weight"), 0);
}

}  // namespace
}  // namespace titan::parallel
