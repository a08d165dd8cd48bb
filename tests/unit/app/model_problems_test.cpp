// What a model does not let a job do with it, said before anything is built.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "app/engine_commands.h"
#include "titan/config/job_config.h"
#include "titan/config/validate.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/models/llama3/args.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/protocols/train_spec.h"

namespace titan::app {
namespace {

/// A model of one's own whose layers do not ask which tokens of a text they have.
struct OfWholeTexts : public models::llama3::TransformerModelArgs {
  bool allows_cut_texts() const override { return false; }
  std::unique_ptr<protocols::ModelArgs> clone() const override {
    return std::make_unique<OfWholeTexts>(*this);
  }
};

/// Builders that are there but never called.
protocols::TextBuilders builders() {
  protocols::TextBuilders result;
  result.build_optimizers = [](const auto&...) { return nullptr; };
  result.build_lr_schedulers = [](auto&, const auto&) { return nullptr; };
  result.build_dataloader = [](const auto&...) { return nullptr; };
  result.build_loss = [](const auto&...) { return protocols::LossFunction(); };
  result.build_metrics_processor = [](const auto&...) { return nullptr; };
  return result;
}

TEST(ModelProblems, TextsThatAModelDoesNotLetBeCut) {
  protocols::TrainSpec spec = models::llama3::train_spec(builders());
  spec.model_args = {{"only", std::make_shared<const OfWholeTexts>()}};
  protocols::register_train_spec("whole_texts", spec);
  config::JobConfig config;
  config.model.name = "whole_texts";
  config.model.flavor = "only";
  EXPECT_TRUE(model_problems(config, {}, 2).empty());
  config.parallelism.context_parallel_degree = 2;
  const config::Problems problems = model_problems(config, {}, 2);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_THAT(problems[0].what,
              testing::AllOf(testing::HasSubstr("attends to whole texts only, which cannot be cut"),
                             testing::HasSubstr("nearest valid layouts: {"),
                             testing::Not(testing::HasSubstr("{context_parallel_degree"))));
}

/// Of six experts.
struct OfSixExperts : public models::llama3::TransformerModelArgs {
  std::vector<std::string> expert_parallel_problems(std::int64_t degree) const override {
    return 6 % degree == 0 ? std::vector<std::string>{} : std::vector<std::string>{"no"};
  }
  std::unique_ptr<protocols::ModelArgs> clone() const override {
    return std::make_unique<OfSixExperts>(*this);
  }
};

TEST(ModelProblems, LayoutsInThePlaceOfARefusedOneFitTheModel) {
  protocols::TrainSpec spec = models::llama3::train_spec(builders());
  spec.model_args = {{"only", std::make_shared<const OfSixExperts>()}};
  spec.pipelining = nullptr;
  protocols::register_train_spec("six_experts", spec);
  config::JobConfig config;
  config.model.name = "six_experts";
  config.model.flavor = "only";
  config.parallelism.data_parallel_shard_degree = 12;
  config.parallelism.expert_parallel_degree = 4;
  const auto refused = [&](std::int64_t ranks) {
    const config::Problems problems =
        config::cross_field_problems(config, {}, ranks, model_layouts);
    return problems.empty() ? "" : problems[0].what;
  };
  EXPECT_EQ(refused(12), "") << "the rules on degrees know no model";
  const std::string said = refused(24);
  const std::string hint = said.substr(std::min(said.find("nearest"), said.size()));
  EXPECT_THAT(hint, testing::HasSubstr("nearest valid layouts: {"));
  EXPECT_THAT(hint, testing::HasSubstr("expert_parallel_degree=3"));
  EXPECT_THAT(hint, testing::Not(testing::HasSubstr("expert_parallel_degree=4")));
  EXPECT_THAT(hint, testing::Not(testing::HasSubstr("expert_parallel_degree=8")));
  EXPECT_THAT(hint, testing::Not(testing::HasSubstr("pipeline_parallel_degree")));
  config.model.flavor = "none";
  EXPECT_THAT(refused(24), testing::HasSubstr("expert_parallel_degree=4"))
      << "of a model that nobody knows";
}

TEST(ModelProblems, StepsThatCannotBeCaptured) {
  protocols::register_train_spec("dense", models::llama3::train_spec(builders()));
  protocols::register_train_spec("experts", models::deepseek_v3::train_spec(builders()));
  config::JobConfig config;
  config.compile.cuda_graphs = true;
  const auto problem = [&](const char* name, const char* flavor) {
    config.model.name = name;
    config.model.flavor = flavor;
    const config::Problems problems = model_problems(config, {}, 1);
    return problems.empty() ? "" : problems.front().what;
  };
  EXPECT_EQ(problem("dense", "debugmodel"), "");
  EXPECT_THAT(problem("dense", "debugmodel_flex_attn"), testing::HasSubstr("within documents"));
  EXPECT_THAT(problem("experts", "debugmodel"),
              testing::HasSubstr("the rows of each expert of layers.1.moe"));
}

}  // namespace
}  // namespace titan::app
