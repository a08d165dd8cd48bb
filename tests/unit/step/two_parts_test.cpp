// One rank with two stages of a model: a step of both is the step of the whole.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/scalar_tensor.h>
#include <gtest/gtest.h>

#include <map>

#include "titan/components/loss/loss.h"
#include "titan/config/job_config.h"
#include "titan/models/llama3/model.h"
#include "titan/step/build_model_parts.h"
#include "titan/step/one_model.h"

namespace titan::step {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

std::unique_ptr<models::llama3::Transformer> meta_llama() {
  models::llama3::TransformerModelArgs args;
  args.dim = 16;
  args.n_layers = 4;
  args.n_heads = 2;
  args.multiple_of = 16;
  args.vocabulary = 100;
  args.max_seq_len = 8;
  return std::make_unique<models::llama3::Transformer>(args, at::kFloat);
}

/// The stage that has these modules.
protocols::ModelPart stage(std::int64_t index, std::int64_t count,
                           const std::vector<std::string>& modules) {
  auto model = meta_llama();
  for (const std::string name :
       {"tok_embeddings", "layers.0", "layers.1", "layers.2", "layers.3", "norm", "output"}) {
    if (std::ranges::count(modules, name) == 0) model->submodule(name).leave_to_other_stage();
  }
  return {std::move(model), std::make_shared<parallel::Sharding>(), {index, count}};
}

protocols::ModelParts whole() {
  protocols::ModelParts parts;
  parts.push_back({meta_llama(), std::make_shared<parallel::Sharding>()});
  return parts;
}

protocols::ModelParts two_stages() {
  protocols::ModelParts parts;
  parts.push_back(stage(0, 2, {"tok_embeddings", "layers.0", "layers.1", "layers.2"}));
  parts.push_back(stage(1, 2, {"layers.3", "norm", "output"}));
  return parts;
}

protocols::Batch batch_of(std::int64_t first) {
  protocols::Batch batch;
  batch.rows = 2;
  batch.seq_len = 8;
  for (std::int64_t i = 0; i < 16; ++i) {
    batch.input.push_back((first + 3 * i) % 100);
    batch.labels.push_back((first + 7 * i) % 100);
  }
  return batch;
}

struct Outcome {
  Tensors weights;
  Tensors gradients;
  double loss = 0;
  double validation_loss = 0;
  at::Tensor logits;
};

Outcome run(protocols::ModelParts parts) {
  comm::RankContext context;
  context.generator = at::make_generator<at::CPUGeneratorImpl>(5);
  config::JobConfig config;
  config.training.mixed_precision_param = config::DType::kFloat32;
  init_model_parts(parts, context, config.training);
  OneModel runner({parts, context, config, components::cross_entropy_loss});
  Outcome outcome;
  std::vector<protocols::Batch> batches = {batch_of(1), batch_of(2), batch_of(3)};
  outcome.loss = runner.forward_backward(batches, at::scalar_tensor(48.0), 1).item<double>();
  outcome.validation_loss = runner.loss_sum(batches[0]).item<double>();
  outcome.logits = runner.logits(at::scalar_tensor(3, at::kLong).view({1, 1}), nullptr);
  for (const auto& [name, parameter] : protocols::named_parameters(parts)) {
    outcome.weights[name] = parameter->tensor;
    outcome.gradients[name] = parameter->tensor.grad();
  }
  return outcome;
}

TEST(TwoParts, AStepIsThatOfTheWhole) {
  const Outcome expected = run(whole());
  const Outcome outcome = run(two_stages());
  EXPECT_EQ(outcome.loss, expected.loss);
  EXPECT_EQ(outcome.validation_loss, expected.validation_loss);
  EXPECT_TRUE(outcome.logits.equal(expected.logits));
  ASSERT_EQ(outcome.weights.size(), expected.weights.size());
  for (const auto& [name, weight] : expected.weights) {
    EXPECT_TRUE(outcome.weights.at(name).equal(weight)) << name << " begins with other bits";
    EXPECT_TRUE(outcome.gradients.at(name).equal(expected.gradients.at(name))) << name;
  }
}

}  // namespace
}  // namespace titan::step
