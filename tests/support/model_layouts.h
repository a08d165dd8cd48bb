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
  bool loss_in_parts = true;
  config::ActivationCheckpointMode ac = config::ActivationCheckpointMode::kNone;
  std::string selective = "op";
  std::int64_t microbatches = 1;
  bool async = false;
  bool head_tail = true;
  config::RotateMethod rotation = config::RotateMethod::kAllGather;
  /// The layers' fast paths, on the one rank too.
  bool fast = false;

  /// The same model on one rank.
  LayoutJob alone() const {
    LayoutJob one = *this;
    one.degrees = {};
    one.ranks = 1;
    one.ac = config::ActivationCheckpointMode::kNone;
    return one;
  }
};

inline std::ostream& operator<<(std::ostream& out, const LayoutJob& job) { return out << job.name; }

/// The model that steps are made of.
struct LayoutModel {
  std::function<std::unique_ptr<protocols::ModelProtocol>()> build;  // on the meta device
  protocols::ParallelizeFn parallelize;
  std::int64_t vocabulary = 48;
  std::int64_t length = 24;  // tokens of a row
};

/// What a step leaves behind, as full tensors, by name.
struct StepOutcome {
  double loss = 0;
  std::map<std::string, at::Tensor> weights;
  std::map<std::string, at::Tensor> gradients;
};

namespace layouts {

constexpr std::int64_t kRows = 4;

inline at::Tensor tokens(const LayoutModel& model, std::uint64_t seed) {
  return at::randint(model.vocabulary, {kRows, model.length},
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
  const std::int64_t rows = kRows / data_ranks / job.microbatches;
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
    const at::Tensor loss = sum / static_cast<double>(kRows * tested.length);
    loss.backward();
    total += loss.item<double>();
  }
  return total;
}

inline StepOutcome run_rank(const LayoutModel& tested, const LayoutJob& job,
                            const comm::RankContext& context) {
  const std::unique_ptr<protocols::ModelProtocol> model = tested.build();
  const auto sharding = tested.parallelize(*model, context, config_of(job));
  model->to_empty(at::kCPU);
  {
    const c10::NoGradGuard no_grad;
    model->init_weights(at::make_generator<at::CPUGeneratorImpl>(7), std::nullopt);
  }
  StepOutcome outcome;
  outcome.loss = step(tested, *model, *sharding, job, context);
  std::vector<nn::Parameter*> parameters;
  for (const auto& [name, parameter] : model->named_parameters()) parameters.push_back(parameter);
  parallel::sum_partial_gradients(parameters, context);
  for (const auto& [name, parameter] : model->named_parameters()) {
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
    EXPECT_EQ(other.gradients.size(), outcomes[0].gradients.size());
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
  expect_close(actual.weights, expected.weights, 0);
  expect_close(actual.gradients, expected.gradients, 1e-5);
}

}  // namespace titan::test
