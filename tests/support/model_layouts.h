#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randint.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "support/local_ranks.h"
#include "support/named_tensors.h"
#include "titan/components/loss/loss.h"
#include "titan/components/loss/vocabulary_parallel_loss.h"
#include "titan/config/job_config.h"
#include "titan/parallel/clip_grad_norm.h"
#include "titan/parallel/context_parallel.h"
#include "titan/parallel/layout.h"
#include "titan/parallel/tensor_parallel.h"
#include "titan/protocols/train_spec.h"

/// A step of a small model on any layout of ranks, to be held against the step of one rank.
namespace titan::test {

/// A layout, and what else may change how a step is made but not what comes out.
struct LayoutJob {
  std::string name;
  mesh::Degrees degrees = {};
  std::int64_t ranks = 1;
  std::int64_t vocabulary = 0;  // 0: the model's own; so of rows and length
  bool loss_in_parts = true;
  config::ActivationCheckpointMode ac = config::ActivationCheckpointMode::kNone;
  std::string selective = "op";
  std::int64_t microbatches = 1;
  std::int64_t rows = 0;
  std::int64_t length = 0;
  bool async = false;
  config::RotateMethod rotation = config::RotateMethod::kAllGather;
  bool head_tail = true;
  /// The layers' fast paths, on the one rank too.
  bool fast = false;
  /// Products of a part of the rows are so small that the library has another way for them.
  bool few_rows = false;

  /// The same model on one rank.
  LayoutJob alone() const {
    LayoutJob one = *this;
    one.degrees = {};
    one.ranks = 1;
    one.microbatches = 1;
    one.ac = config::ActivationCheckpointMode::kNone;
    return one;
  }
};

inline std::ostream& operator<<(std::ostream& out, const LayoutJob& job) { return out << job.name; }

/// For INSTANTIATE_TEST_SUITE_P.
inline std::string layout_name(const ::testing::TestParamInfo<LayoutJob>& test) {
  return test.param.name;
}

// Layouts that several models are tried on, and what a model has beside them.

inline std::vector<LayoutJob> data_layouts(std::vector<LayoutJob> more = {}) {
  more.push_back({"fsdp2", {.dp_shard = 2}, 2});
  more.push_back({"ddp2", {.dp_replicate = 2, .dp_shard = 1}, 2});
  more.push_back({.name = "fsdp2_full_ac",
                  .degrees = {.dp_shard = 2},
                  .ranks = 2,
                  .ac = config::ActivationCheckpointMode::kFull});
  return more;
}

/// Of texts whose length is a multiple of 24.
inline std::vector<LayoutJob> context_layouts(std::vector<LayoutJob> more = {}) {
  more.push_back({"cp2", {.dp_shard = 1, .cp = 2}, 2});
  more.push_back(
      {.name = "cp3_in_turn", .degrees = {.dp_shard = 1, .cp = 3}, .ranks = 3, .head_tail = false});
  more.push_back({"fsdp2_cp2", {.dp_shard = 2, .cp = 2}, 4});
  more.push_back(
      {.name = "cp2_fast", .degrees = {.dp_shard = 1, .cp = 2}, .ranks = 2, .fast = true});
  more.push_back({.name = "cp4_alltoall_fast",
                  .degrees = {.dp_shard = 1, .cp = 4},
                  .ranks = 4,
                  .rotation = config::RotateMethod::kAllToAll,
                  .fast = true});
  more.push_back({.name = "cp4_in_turn_fast",
                  .degrees = {.dp_shard = 1, .cp = 4},
                  .ranks = 4,
                  .head_tail = false,
                  .fast = true});
  return more;
}

/// Of a number of experts that is a multiple of 4.
inline std::vector<LayoutJob> expert_layouts(std::vector<LayoutJob> more = {}) {
  more.push_back({"fsdp2_ep2", {.dp_shard = 2, .ep = 2}, 2});
  more.push_back({"fsdp4_ep4", {.dp_shard = 4, .ep = 4}, 4});
  more.push_back({"cp2_ep2", {.dp_shard = 1, .cp = 2, .ep = 2}, 2});
  more.push_back({"fsdp2_cp2_ep2", {.dp_shard = 2, .cp = 2, .ep = 2}, 4});
  return more;
}

/// The model that steps are made of.
struct LayoutModel {
  std::function<std::unique_ptr<protocols::ModelProtocol>()> build;  // on the meta device
  protocols::ParallelizeFn parallelize;
  std::int64_t vocabulary = 48;
  std::int64_t rows = 4;
  std::int64_t length = 24;  // tokens of a row
  /// Changes the initial weights.
  std::function<void(protocols::ModelProtocol&)> prepare = [](auto&) {};
  /// Is called before the step; what it returns, behind it.
  using AroundStep = std::function<std::function<void()>(protocols::ModelParts& parts,
                                                         const comm::RankContext& context)>;
  AroundStep around_step = [](auto&, const auto&) { return [] {}; };
};

/// What a step leaves behind, as full tensors, by name.
struct StepOutcome {
  double loss = 0;
  double norm = 0;
  std::map<std::string, at::Tensor> weights;
  std::map<std::string, at::Tensor> gradients;
  std::map<std::string, at::Tensor> buffers;  // that are saved
};

namespace layouts {

inline at::Tensor tokens(const LayoutModel& model, std::uint64_t seed) {
  return at::randint(model.vocabulary, {model.rows, model.length},
                     at::make_generator<at::CPUGeneratorImpl>(seed), at::kLong);
}

inline config::JobConfig config_of(const LayoutJob& job) {
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
  return config;
}

/// Forward and backward of this rank's part of its rows; returns its part of the mean loss.
inline double step(const LayoutModel& tested, protocols::ModelProtocol& model,
                   parallel::Sharding& sharding, const LayoutJob& job,
                   const comm::RankContext& context) {
  const bool in_parts = parallel::computes_loss_in_parts(context.dims, config_of(job).parallelism);
  const std::int64_t data_ranks = context.dims.size(mesh::MeshDim::kBatch);
  const std::int64_t data_rank = context.dims.coordinate(mesh::MeshDim::kBatch, context.rank);
  const std::int64_t rows = tested.rows / data_ranks / job.microbatches;
  const parallel::TextCut cut = parallel::text_cut(context, config_of(job).parallelism);
  double total = 0;
  for (std::int64_t m = 0; m < job.microbatches; ++m) {
    const std::int64_t first = (data_rank * job.microbatches + m) * rows;
    sharding.set_requires_gradient_sync(m + 1 == job.microbatches ||
                                        sharding.sums_every_microbatch());
    const auto part_of_rows = [&](const at::Tensor& all) {
      return cut.part_of(all.narrow(0, first, rows), 1);
    };
    const at::Tensor logits =
        model.call(part_of_rows(tokens(tested, 1)), cut.sequence(tested.length, at::kCPU));
    const at::Tensor labels = part_of_rows(tokens(tested, 2));
    const at::Tensor sum =
        in_parts ? components::vocabulary_parallel_cross_entropy_loss(
                       logits, labels, tested.vocabulary, context.group(mesh::MeshDim::kTp))
                 : components::cross_entropy_loss(logits, labels);
    const at::Tensor loss = sum / static_cast<double>(tested.rows * tested.length);
    loss.backward();
    total += loss.item<double>();
  }
  return total;
}

inline StepOutcome run_rank(const LayoutModel& tested, const LayoutJob& job,
                            const comm::RankContext& context) {
  protocols::ModelParts parts(1);
  parts[0].model = tested.build();
  protocols::ModelProtocol& model = *parts[0].model;
  parts[0].sharding = tested.parallelize(model, context, config_of(job));
  model.to_empty(at::kCPU);
  {
    const c10::NoGradGuard no_grad;
    model.init_weights(at::make_generator<at::CPUGeneratorImpl>(7), std::nullopt);
    tested.prepare(model);
  }
  const auto end_step = tested.around_step(parts, context);
  StepOutcome outcome;
  outcome.loss = step(tested, model, *parts[0].sharding, job, context);
  const parallel::Parameters parameters = protocols::parameters_of(parts);
  parallel::sum_partial_gradients(parameters, context);
  outcome.norm = parallel::total_grad_norm(parameters, context).item<double>();
  end_step();
  for (const nn::NamedTensor& buffer : model.persistent_buffers()) {
    outcome.buffers[buffer.name] = buffer.tensor.clone();
  }
  for (const auto& [name, parameter] : model.named_parameters()) {
    const at::Tensor& tensor = parameter->tensor;
    outcome.weights[name] = parallel::full_tensor(tensor, *parameter, context).clone();
    EXPECT_TRUE(tensor.grad().defined()) << name;
    if (!tensor.grad().defined()) continue;
    outcome.gradients[name] = parallel::full_tensor(tensor.grad(), *parameter, context).clone();
  }
  return outcome;
}

}  // namespace layouts

/// The outcome of rank 0, after it was held against every other rank's; with the loss of all data.
inline StepOutcome run_step(const LayoutModel& tested, const LayoutJob& job) {
  std::mutex mutex;
  std::vector<StepOutcome> outcomes(static_cast<std::size_t>(job.ranks));
  double loss = 0;
  on_local_ranks(job.degrees, job.ranks, [&](const comm::RankContext& context) {
    StepOutcome outcome = layouts::run_rank(tested, job, context);
    const std::lock_guard lock(mutex);
    loss += outcome.loss / static_cast<double>(context.dims.size(mesh::MeshDim::kTp));
    outcomes[static_cast<std::size_t>(context.rank)] = std::move(outcome);
  });
  for (const StepOutcome& other : outcomes) {
    EXPECT_EQ(other.norm, outcomes[0].norm);
    EXPECT_EQ(other.gradients.size(), outcomes[0].gradients.size());
    EXPECT_EQ(other.buffers.size(), outcomes[0].buffers.size());
    for (const auto& [name, buffer] : other.buffers) {
      EXPECT_TRUE(buffer.equal(outcomes[0].buffers[name])) << name;
    }
    for (const auto& [name, gradient] : other.gradients) {
      EXPECT_TRUE(gradient.equal(outcomes[0].gradients[name])) << name;
      EXPECT_TRUE(other.weights.at(name).equal(outcomes[0].weights[name])) << name;
    }
  }
  outcomes[0].loss = loss;
  return outcomes[0];
}

inline void expect_same_step(const StepOutcome& actual, const StepOutcome& expected) {
  EXPECT_NEAR(actual.loss, expected.loss, 1e-6 * expected.loss);
  EXPECT_NEAR(actual.norm, expected.norm, 1e-5 * expected.norm);
  expect_close(actual.weights, expected.weights, 0);
  expect_close(actual.buffers, expected.buffers, 0);
  expect_close(actual.gradients, expected.gradients, 1e-5);
}

inline void expect_step_of_one_rank(const LayoutModel& tested, const LayoutJob& job) {
  expect_same_step(run_step(tested, job), run_step(tested, job.alone()));
}

}  // namespace titan::test
