#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/scalar_tensor.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <mutex>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "support/local_ranks.h"
#include "titan/components/expert_balance/expert_balance.h"
#include "titan/components/loss/loss.h"
#include "titan/components/optimizer/optimizer.h"
#include "titan/config/job_config.h"
#include "titan/models/deepseek_v3/model.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/models/llama4/model.h"
#include "titan/models/llama4/train_spec.h"
#include "titan/models/qwen3/model.h"
#include "titan/models/qwen3/train_spec.h"
#include "titan/parallel/clip_grad_norm.h"
#include "titan/parallel/layout.h"
#include "titan/step/build_model_parts.h"
#include "titan/step/build_step_runner.h"

/// Training steps of small models with experts, on ranks that are threads, in pipelines or without.
namespace titan::step::experts {

constexpr std::int64_t kLength = 8;
constexpr std::int64_t kVocabulary = 50;
constexpr std::int64_t kRows = 8;  // of a step, whatever ranks share them

enum class Model { kDeepSeekV3, kQwen3, kLlama4 };

struct Job {
  std::string name;
  Model model = Model::kDeepSeekV3;
  mesh::Degrees degrees = {.dp_shard = 1};
  std::int64_t ranks = 1;
  std::string schedule = "1F1B";
  std::int64_t steps = 2;
  bool overlaps = true;
  config::ActivationCheckpointMode ac = config::ActivationCheckpointMode::kNone;
  bool only_matrix = false;  // with TITAN_EXPERT_MATRIX only

  Job alone() const {
    Job one = *this;
    one.degrees = {.dp_shard = 1};
    one.ranks = 1;
    one.ac = config::ActivationCheckpointMode::kNone;
    return one;
  }
};

inline std::ostream& operator<<(std::ostream& out, const Job& job) { return out << job.name; }

using Tensors = std::map<std::string, at::Tensor>;

struct Outcome {
  std::vector<double> losses;
  std::vector<double> norms;
  Tensors weights;
  Tensors biases;
};

template <class Args>
std::unique_ptr<protocols::ModelArgs> small(const protocols::ModelArgs& flavor) {
  Args args = dynamic_cast<const Args&>(flavor);
  args.n_layers = 6;
  args.vocabulary = kVocabulary;
  args.max_seq_len = kLength;
  return std::make_unique<Args>(args);
}

inline std::unique_ptr<protocols::ModelArgs> args_of(Model model) {
  switch (model) {
    case Model::kDeepSeekV3:
      return small<models::deepseek_v3::DeepSeekV3ModelArgs>(
          *models::deepseek_v3::flavors().at("tiny"));
    case Model::kQwen3:
      return small<models::qwen3::Qwen3ModelArgs>(*models::qwen3::flavors().at("tiny_moe"));
    case Model::kLlama4:
      return small<models::llama4::TransformerModelArgs>(*models::llama4::flavors().at("tiny"));
  }
  return nullptr;
}

inline protocols::TrainSpec spec_of(Model model) {
  switch (model) {
    case Model::kDeepSeekV3:
      return models::deepseek_v3::train_spec({});
    case Model::kQwen3:
      return models::qwen3::train_spec({});
    case Model::kLlama4:
      return models::llama4::train_spec({});
  }
  return {};
}

inline config::JobConfig config_of(const Job& job) {
  config::JobConfig config;
  config.parallelism.pipeline_parallel_degree = job.degrees.pp;
  config.parallelism.pipeline_parallel_schedule = job.schedule;
  config.parallelism.pipeline_parallel_expert_parallel_overlap = job.overlaps;
  config.parallelism.disable_loss_parallel = true;
  config.training.local_batch_size = kRows / job.degrees.dp_shard;
  config.training.seq_len = kLength;
  config.training.mixed_precision_param = config::DType::kFloat32;
  config.activation_checkpoint.mode = job.ac;
  config.activation_checkpoint.selective_ac_option = "op";
  config.activation_checkpoint.per_op_sac_force_recompute_mm_shapes_by_fqns = {};
  config.optimizer.eps = 1e-3;  // else Adam makes large steps of rounding
  return config;
}

inline protocols::Batch rows_of(std::int64_t step, std::int64_t first, std::int64_t count) {
  protocols::Batch batch;
  batch.rows = count;
  batch.seq_len = kLength;
  for (std::int64_t row = first; row < first + count; ++row) {
    std::mt19937_64 random(static_cast<std::uint64_t>(step * kRows + row) + 1);
    for (std::int64_t i = 0; i < kLength; ++i) {
      batch.input.push_back(static_cast<std::int64_t>(random() % kVocabulary));
      batch.labels.push_back(static_cast<std::int64_t>(random() % kVocabulary));
      batch.document_starts.push_back(i == 0);
    }
  }
  return batch;
}

/// This rank's part of it: losses, and the tensors of its stages as wholes.
inline Outcome run_rank(const Job& job, comm::RankContext context) {
  const config::JobConfig config = config_of(job);
  const protocols::TrainSpec spec = spec_of(job.model);
  context.generator = at::make_generator<at::CPUGeneratorImpl>(5);
  RankModel model = build_model_parts(spec, *args_of(job.model), context, config);
  init_model_parts(model.parts, context, config.training);
  const auto runner =
      build_step_runner(spec, {model.parts, context, config, components::cross_entropy_loss});
  components::ExpertBalance balance(model.parts, context);
  const auto named = protocols::named_parameters(model.parts);
  const auto optimizers = components::build_optimizers(named, config.optimizer);
  optimizers->add_step_pre_hook([&] { balance.update(); });
  const auto parameters = protocols::parameters_of(model.parts);
  const std::int64_t rows = config.training.local_batch_size;
  const std::int64_t first = rows * context.dims.coordinate(mesh::MeshDim::kBatch, context.rank);
  Outcome outcome;
  for (std::int64_t step = 1; step <= job.steps; ++step) {
    optimizers->zero_grad();
    balance.begin_step();
    std::vector<protocols::Batch> batches = {rows_of(step, first, rows)};
    const at::Tensor tokens = at::scalar_tensor(static_cast<double>(kRows * kLength));
    outcome.losses.push_back(runner->forward_backward(batches, tokens, step).item<double>());
    const at::Tensor norm = parallel::total_grad_norm(parameters, context);
    outcome.norms.push_back(norm.item<double>());
    parallel::clip_grads_with_norm_(parameters, 0.5, norm);
    optimizers->step();
  }
  for (const auto& [name, parameter] : named) {
    outcome.weights[name] = parallel::full_tensor(parameter->tensor, *parameter, context).clone();
  }
  for (const protocols::ModelPart& part : model.parts) {
    for (const nn::NamedTensor& buffer : part.model->persistent_buffers()) {
      // Those of other stages have no memory.
      if (!buffer.tensor.is_meta()) outcome.biases[buffer.name] = buffer.tensor.clone();
    }
  }
  return outcome;
}

/// Of tensors that several ranks have, each has the same.
inline void merge(Tensors& all, const Tensors& of_rank) {
  for (const auto& [name, tensor] : of_rank) {
    const auto [known, is_new] = all.try_emplace(name, tensor);
    if (!is_new) {
      EXPECT_TRUE(known->second.equal(tensor)) << name << " differs between ranks";
    }
  }
}

/// Of all ranks together. `observer_of`: who watches a rank's collectives; may be null.
inline Outcome run(
    const Job& job,
    const std::function<comm::CollectiveObserver*(std::int64_t)>& observer_of = nullptr) {
  std::mutex mutex;
  Outcome all;
  all.losses.resize(static_cast<std::size_t>(job.steps));
  std::vector<Outcome> outcomes(static_cast<std::size_t>(job.ranks));
  comm::LocalWorld world(job.ranks);
  test::on_rank_threads(world, job.ranks, [&](std::int64_t rank) {
    const auto backend = world.backend(rank);
    comm::RankContext context;
    context.rank = rank;
    context.world_size = job.ranks;
    context.dims = mesh::ParallelDims(job.degrees, job.ranks);
    context.groups =
        std::make_shared<comm::Groups>(*backend, context.dims, rank, std::chrono::seconds(60),
                                       observer_of == nullptr ? nullptr : observer_of(rank));
    outcomes[static_cast<std::size_t>(rank)] = run_rank(job, context);
  });
  for (const Outcome& one : outcomes) {
    for (std::size_t i = 0; i < one.losses.size(); ++i) {
      all.losses[i] += one.losses[i] / static_cast<double>(job.degrees.tp);
    }
    EXPECT_EQ(one.norms, outcomes[0].norms);
    merge(all.weights, one.weights);
    merge(all.biases, one.biases);
  }
  all.norms = outcomes[0].norms;
  return all;
}

/// The same bits.
inline void expect_equal(const Outcome& actual, const Outcome& expected) {
  EXPECT_EQ(actual.losses, expected.losses);
  EXPECT_EQ(actual.norms, expected.norms);
  ASSERT_EQ(actual.weights.size(), expected.weights.size());
  for (const auto& [name, weight] : expected.weights) {
    EXPECT_TRUE(actual.weights.at(name).equal(weight)) << name;
  }
  for (const auto& [name, bias] : expected.biases) {
    EXPECT_TRUE(actual.biases.at(name).equal(bias)) << name;
  }
}

}  // namespace titan::step::experts
