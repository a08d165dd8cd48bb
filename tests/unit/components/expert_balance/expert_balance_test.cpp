#include "titan/components/expert_balance/expert_balance.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>

#include "titan/models/deepseek_v3/model.h"

namespace titan::components {
namespace {

using models::deepseek_v3::DeepSeekV3ModelArgs;
using models::deepseek_v3::Transformer;
using ::testing::HasSubstr;

/// Two mixtures of eight experts, of which a token uses two.
class ExpertBalanceTest : public ::testing::Test {
 protected:
  void make(bool moves_bias = true) {
    DeepSeekV3ModelArgs args =
        dynamic_cast<const DeepSeekV3ModelArgs&>(*models::deepseek_v3::flavors().at("tiny"));
    args.max_seq_len = 32;
    args.moe.moves_bias = moves_bias;
    parts_.resize(1);
    parts_[0].model = std::make_unique<Transformer>(args, at::kFloat);
    parts_[0].model->to_empty(at::kCPU);
    {
      const c10::NoGradGuard no_grad;
      parts_[0].model->init_weights(at::make_generator<at::CPUGeneratorImpl>(3), std::nullopt);
    }
    mixture().router().add_post_forward_hook(
        [this](nn::Module&, const nn::Inputs&, const nn::Tensors& outputs) {
          routed_ = outputs.at(2).to(at::kFloat);
        });
    balance_ = std::make_unique<ExpertBalance>(parts_, context_);
  }

  nn::MoE& mixture() { return dynamic_cast<nn::MoE&>(parts_[0].model->submodule("layers.1.moe")); }
  void forward() { parts_[0].model->call(at::arange(32, at::kLong).view({1, 32}) * 37); }

  comm::RankContext context_;
  protocols::ModelParts parts_;
  std::unique_ptr<ExpertBalance> balance_;
  at::Tensor routed_;
};

TEST_F(ExpertBalanceTest, MovesBiasesTowardsAnEvenLoad) {
  make();
  ASSERT_TRUE(balance_->has_experts());
  balance_->begin_step();
  forward();
  forward();
  balance_->update();
  // 64 rows a forward, eight each.
  std::vector<float> delta;
  float mean = 0;
  for (std::int64_t e = 0; e < 8; ++e) {
    const float load = routed_[e].item<float>();
    delta.push_back(load > 8 ? -1e-3F : load < 8 ? 1e-3F : 0);
    mean += delta.back() / 8;
  }
  for (std::int64_t e = 0; e < 8; ++e) {
    EXPECT_NEAR(mixture().expert_bias()[e].item<float>(), delta[static_cast<std::size_t>(e)] - mean,
                1e-9);
  }
  const auto loads = balance_->loads();
  ASSERT_EQ(loads.size(), 2);
  EXPECT_EQ(loads[0].layer, "layers.1.moe");
  EXPECT_EQ(loads[0].tokens, 128);
  EXPECT_EQ(loads[0].experts, 8);
  EXPECT_FLOAT_EQ(static_cast<float>(loads[0].imbalance), routed_.max().item<float>() / 8);
  EXPECT_EQ(loads[0].idle_experts, (routed_ == 0).sum().item<std::int64_t>());
}

TEST_F(ExpertBalanceTest, CountsNothingButTraining) {
  make();
  balance_->begin_step();
  {
    const c10::NoGradGuard no_grad;  // as validation runs
    forward();
  }
  EXPECT_EQ(mixture().tokens_per_expert().sum().item<float>(), 0);
  forward();
  EXPECT_TRUE(mixture().tokens_per_expert().equal(routed_));
  balance_->begin_step();  // the step before was not finished
  EXPECT_EQ(mixture().tokens_per_expert().sum().item<float>(), 0);
}

TEST_F(ExpertBalanceTest, WarnsOfARouterThatHasCollapsed) {
  make();
  for (const std::int64_t expert : {6, 7}) mixture().expert_bias()[expert] = 10;
  const auto said_after = [&](int forwards) {
    balance_->begin_step();
    for (int i = 0; i < forwards; ++i) forward();
    balance_->update();
    testing::internal::CaptureStdout();
    EXPECT_EQ(balance_->loads()[0].idle_experts, 6);
    return testing::internal::GetCapturedStdout();
  };
  EXPECT_EQ(said_after(1), "") << "64 rows for 8 experts may miss some by chance";
  EXPECT_THAT(said_after(2), HasSubstr("The router of layers.1.moe has collapsed"));
  EXPECT_EQ(said_after(2), "") << "once is enough";
}

TEST_F(ExpertBalanceTest, LeavesBiasesThatDoNotMove) {
  make(/*moves_bias=*/false);
  balance_->begin_step();
  forward();
  balance_->update();
  EXPECT_TRUE(mixture().expert_bias().equal(at::zeros({8})));
  EXPECT_EQ(balance_->loads()[1].tokens, 64);
}

}  // namespace
}  // namespace titan::components
