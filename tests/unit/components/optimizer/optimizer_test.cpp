#include "titan/components/optimizer/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <deque>

#include <cmath>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/protocols/scales_gradients.h"

namespace titan::components {
namespace {

using config::OptimizerImplementation;
using config::OptimizerName;

/// One weight of Adam in double precision, straight from the papers.
struct ScalarAdam {
  double weight, m = 0, v = 0;
  int t = 0;
  void step(double gradient, const config::Optimizer& c) {
    ++t;
    if (c.name == OptimizerName::kAdamW) weight *= 1 - c.lr * c.weight_decay;
    if (c.name == OptimizerName::kAdam) gradient += c.weight_decay * weight;
    m = c.beta1 * m + (1 - c.beta1) * gradient;
    v = c.beta2 * v + (1 - c.beta2) * gradient * gradient;
    const double m_hat = m / (1 - std::pow(c.beta1, t));
    const double v_hat = v / (1 - std::pow(c.beta2, t));
    weight -= c.lr * m_hat / (std::sqrt(v_hat) + c.eps);
  }
};

at::Tensor gradient_of_step(int step) { return at::arange(5, at::kFloat).add(step).sin(); }

/// Five ones, owned by the test program.
nn::NamedParameter parameter(std::string name, bool trains = true) {
  static std::deque<nn::Parameter> all;
  return {std::move(name), &all.emplace_back(at::ones({5}).set_requires_grad(trains))};
}

class EveryAdam
    : public ::testing::TestWithParam<std::tuple<OptimizerName, OptimizerImplementation>> {};

TEST_P(EveryAdam, FollowsTheFormula) {
  config::Optimizer config;
  config.name = std::get<0>(GetParam());
  config.implementation = std::get<1>(GetParam());
  config.lr = 0.01;
  const nn::NamedParameter named = parameter("w");
  at::Tensor weight = named.tensor();
  const auto optimizers = build_optimizers({named}, config);
  std::vector<ScalarAdam> expected(5, ScalarAdam{1.0});
  for (int step = 0; step < 4; ++step) {
    optimizers->zero_grad();
    weight.mutable_grad() = gradient_of_step(step);
    optimizers->step();
    for (int i = 0; i < 5; ++i) {
      expected[static_cast<std::size_t>(i)].step(gradient_of_step(step)[i].item<double>(), config);
      EXPECT_NEAR(weight[i].item<double>(), expected[static_cast<std::size_t>(i)].weight, 2e-7);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Adam, EveryAdam,
                         ::testing::Combine(::testing::Values(OptimizerName::kAdam,
                                                              OptimizerName::kAdamW),
                                            ::testing::Values(OptimizerImplementation::kForLoop,
                                                              OptimizerImplementation::kForeach,
                                                              OptimizerImplementation::kFused)));

TEST(Optimizers, TheFirstMatchingGroupDecides) {
  config::Optimizer config;
  config.lr = 0.1;
  config.weight_decay = 0.5;
  config.param_groups = {{"norm", 0.0, std::nullopt}, {"^layers\\.[01]\\.", std::nullopt, 2.0}};
  const std::vector<nn::NamedParameter> parameters = {parameter("layers.0.norm.weight"),
                                                      parameter("layers.1.wq.weight"),
                                                      parameter("layers.2.wq.weight")};
  for (const nn::NamedParameter& p : parameters) {
    at::Tensor tensor = p.tensor();
    tensor.mutable_grad() = at::zeros({5});
  }
  build_optimizers(parameters, config)->step();
  EXPECT_FLOAT_EQ(parameters[0].tensor()[0].item<float>(), 1);              // no decay
  EXPECT_FLOAT_EQ(parameters[1].tensor()[0].item<float>(), 1 - 0.2 * 0.5);  // twice the rate
  EXPECT_FLOAT_EQ(parameters[2].tensor()[0].item<float>(), 1 - 0.1 * 0.5);
}

TEST(Optimizers, ClippingWithTheStepIsClippingBeforeIt) {
  config::Optimizer config;
  config.lr = 0.01;
  for (const bool clips : {false, true}) {
    SCOPED_TRACE(clips);
    const nn::NamedParameter named = parameter("w");
    at::Tensor weight = named.tensor();
    const auto optimizers = build_optimizers({named}, config, clips);
    std::vector<ScalarAdam> expected(5, ScalarAdam{1.0});
    for (int step = 0; step < 4; ++step) {
      const double factor = step == 2 ? 1.0 : 0.25;  // of one step, and no longer
      weight.mutable_grad() = gradient_of_step(step);
      if (step != 2) {
        auto* const scales = dynamic_cast<protocols::ScalesGradients*>(optimizers.get());
        ASSERT_NE(scales, nullptr);
        EXPECT_EQ(scales->scale_next_step(at::full({}, factor)), clips);
      }
      optimizers->step();
      for (int i = 0; i < 5; ++i) {
        const double gradient = gradient_of_step(step)[i].item<double>();
        expected[static_cast<std::size_t>(i)].step(clips ? gradient * factor : gradient, config);
        EXPECT_NEAR(weight[i].item<double>(), expected[static_cast<std::size_t>(i)].weight, 2e-7);
      }
    }
  }
}

TEST(Optimizers, APatternThatMatchesNothingIsRefused) {
  config::Optimizer config;
  config.param_groups = {{"bias", 0.0, std::nullopt}};
  EXPECT_THROW(build_optimizers({parameter("w")}, config), ConfigError);
}

TEST(Optimizers, NoPatternMakesTheStartHang) {
  config::Optimizer config;
  config.param_groups = {{"(([a-z0-9._]+)+)+#", 0.0, std::nullopt}};
  EXPECT_THROW(build_optimizers({parameter("layers.31.feed_forward.w1.weight")}, config),
               ConfigError);
}

TEST(Optimizers, FrozenAndUnusedParametersStayAsTheyAre) {
  const nn::NamedParameter frozen = parameter("frozen", /*trains=*/false);
  const nn::NamedParameter unused = parameter("unused");
  const nn::NamedParameter used = parameter("used");
  at::Tensor weight = used.tensor();
  weight.mutable_grad() = at::ones({5});
  build_optimizers({frozen, unused, used}, config::Optimizer())->step();
  EXPECT_TRUE(at::equal(frozen.tensor(), at::ones({5})));
  EXPECT_TRUE(at::equal(unused.tensor(), at::ones({5})));
  EXPECT_FALSE(at::equal(used.tensor(), at::ones({5})));
}

TEST(Optimizers, HooksRunAroundTheStepAndTheRateCanChange) {
  const nn::NamedParameter named = parameter("w");
  at::Tensor weight = named.tensor();
  weight.mutable_grad() = at::ones({5});
  const auto optimizers = build_optimizers({named}, config::Optimizer());
  std::vector<float> seen;
  const auto look = [&] { seen.push_back(weight[0].item<float>()); };
  optimizers->add_step_pre_hook(look);
  optimizers->add_step_post_hook(look);
  optimizers->set_lr(0.0);
  optimizers->step();
  EXPECT_EQ(seen, (std::vector<float>{1, 1})) << "a rate of zero changes nothing";
  optimizers->set_lr(optimizers->base_lr());
  optimizers->step();
  EXPECT_LT(seen[3], seen[2]);
}

}  // namespace
}  // namespace titan::components
