// Parameters that are updated in backward: when, and with which weights behind it.
#include "titan/step/early_step.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/scalar_tensor.h>
#include <gtest/gtest.h>

#include <map>

#include "titan/components/loss/loss.h"
#include "titan/components/optimizer/optimizer.h"
#include "titan/config/job_config.h"
#include "titan/models/llama3/model.h"
#include "titan/step/build_model_parts.h"
#include "titan/step/one_model.h"

namespace titan::step {
namespace {

class EarlyStepTest : public testing::Test {
 protected:
  /// A rank's model and its optimizer, always with the same weights.
  struct Job {
    Job() {
      models::llama3::TransformerModelArgs args;
      args.dim = 16;
      args.n_layers = 2;
      args.n_heads = 2;
      args.multiple_of = 16;
      args.vocabulary = 100;
      args.max_seq_len = 8;
      parts.push_back({std::make_unique<models::llama3::Transformer>(args, at::kFloat),
                       std::make_shared<parallel::Sharding>()});
      context.generator = at::make_generator<at::CPUGeneratorImpl>(5);
      config.training.mixed_precision_param = config::DType::kFloat32;
      init_model_parts(parts, context, config.training);
      optimizers =
          components::build_optimizers(protocols::named_parameters(parts), config.optimizer);
    }

    void forward_backward(std::size_t microbatches,
                          std::function<void(std::int64_t)> before_microbatch = nullptr) {
      OneModel runner({parts, context, config, components::cross_entropy_loss, nullptr,
                       std::move(before_microbatch)});
      std::vector<protocols::Batch> batches(microbatches);
      for (std::size_t b = 0; b < microbatches; ++b) {
        batches[b].rows = 1;
        batches[b].seq_len = 8;
        for (std::int64_t i = 0; i < 8; ++i) {
          batches[b].input.push_back((3 * i + static_cast<std::int64_t>(b)) % 100);
          batches[b].labels.push_back((7 * i + static_cast<std::int64_t>(b)) % 100);
        }
      }
      runner.forward_backward(batches, at::scalar_tensor(8.0 * static_cast<double>(microbatches)),
                              1);
    }

    std::map<std::string, at::Tensor> weights() const {
      std::map<std::string, at::Tensor> result;
      for (const nn::NamedParameter& parameter : protocols::named_parameters(parts)) {
        result.emplace(parameter.name, parameter.tensor().detach().clone());
      }
      return result;
    }

    std::size_t gradients() const {
      std::size_t count = 0;
      for (const nn::NamedParameter& parameter : protocols::named_parameters(parts)) {
        if (parameter.tensor().grad().defined()) ++count;
      }
      return count;
    }

    protocols::ModelParts parts;
    comm::RankContext context;
    config::JobConfig config;
    std::unique_ptr<protocols::Optimizers> optimizers;
  };

  static void expect_equal(const std::map<std::string, at::Tensor>& weights,
                           const std::map<std::string, at::Tensor>& expected) {
    ASSERT_EQ(weights.size(), expected.size());
    for (const auto& [name, tensor] : weights) {
      EXPECT_TRUE(at::equal(tensor, expected.at(name))) << name;
    }
  }
};

TEST_F(EarlyStepTest, LeavesNoGradientAndTheWeightsOfAStepBehindBackward) {
  Job late;
  const auto before = late.weights();
  late.forward_backward(2);
  EXPECT_GT(late.gradients(), 0U);
  late.optimizers->step();

  Job early;
  expect_equal(early.weights(), before);
  EarlyStep step(early.parts, *early.optimizers);
  early.forward_backward(2, [&](std::int64_t number) {
    if (number == 1) {
      expect_equal(early.weights(), before);
      EXPECT_GT(early.gradients(), 0U) << "the first microbatch only adds to them";
    }
    step.set_last_microbatch(number == 1);
  });
  EXPECT_EQ(early.gradients(), 0U);
  expect_equal(early.weights(), late.weights());
  early.optimizers->step();  // nothing is left for it
  expect_equal(early.weights(), late.weights());
}

TEST_F(EarlyStepTest, LeavesParametersThatAreSummedOnceMoreToTheStep) {
  Job job;
  nn::Parameter* partial = nullptr;
  for (const nn::NamedParameter& parameter : protocols::named_parameters(job.parts)) {
    if (parameter.name == "norm.weight") partial = parameter.parameter;
  }
  ASSERT_NE(partial, nullptr);
  partial->partial_over = {0};
  EarlyStep step(job.parts, *job.optimizers);
  partial->partial_over.clear();  // there are no other ranks to sum with
  const at::Tensor before = partial->tensor.detach().clone();
  step.set_last_microbatch(true);
  job.forward_backward(1);
  EXPECT_EQ(job.gradients(), 1U);
  EXPECT_TRUE(at::equal(partial->tensor, before));
  job.optimizers->step();
  EXPECT_FALSE(at::equal(partial->tensor, before));
}

TEST_F(EarlyStepTest, ASecondGradientInAStepIsAnError) {
  Job job;
  EarlyStep step(job.parts, *job.optimizers);
  step.set_last_microbatch(true);
  EXPECT_ANY_THROW(job.forward_backward(2));
  Job other;
  EarlyStep other_step(other.parts, *other.optimizers);
  other_step.set_last_microbatch(true);
  other.forward_backward(1);
  other.optimizers->step();
  EXPECT_NO_THROW(other.forward_backward(1)) << "of the next step";
}

}  // namespace
}  // namespace titan::step
