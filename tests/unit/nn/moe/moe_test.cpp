// The layer against every expert computed for every token and multiplied by what the router says.
#include "titan/nn/moe/moe.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <map>

#include "titan/base/errors.h"

namespace titan::nn {
namespace {

constexpr std::int64_t kDim = 16;
constexpr std::int64_t kHidden = 24;

std::unique_ptr<MoE> make(const MoEArgs& args) {
  auto layer = std::make_unique<MoE>(args, kDim, kHidden, at::kFloat);
  layer->to_empty(at::kCPU);
  const c10::NoGradGuard no_grad;
  layer->init_weights(0.3, at::make_generator<at::CPUGeneratorImpl>(5), std::nullopt);
  return layer;
}

std::map<std::string, at::Tensor> weights_of(const MoE& layer) {
  std::map<std::string, at::Tensor> result;
  for (const NamedParameter& named : layer.named_parameters()) result[named.name] = named.tensor();
  return result;
}

/// All experts for all tokens; scores of experts that a token was not routed to are zero.
at::Tensor dense(MoE& layer, const at::Tensor& x_bsd) {
  const auto weights = weights_of(layer);
  const at::Tensor x = x_bsd.view({-1, kDim});
  const Tensors routed = layer.router()({{x, layer.expert_bias()}});
  const at::Tensor scores =
      at::zeros({x.size(0), layer.args().num_experts}).scatter(1, routed.at(1), routed.at(0));
  const at::Tensor chosen = (scores != 0).to(at::kFloat);
  at::Tensor in = x.unsqueeze(1).expand({-1, layer.args().num_experts, kDim});
  if (layer.args().score_before_experts) in = in * scores.unsqueeze(2);
  const auto each = [](const at::Tensor& left, const at::Tensor& right) {
    return at::einsum("nei,eoi->neo", {left, right});
  };
  const at::Tensor out =
      each(at::silu(each(in, weights.at("experts.w1"))) * each(in, weights.at("experts.w3")),
           weights.at("experts.w2"));
  const at::Tensor& factor = layer.args().score_before_experts ? chosen : scores;
  at::Tensor sum = (out * factor.unsqueeze(2)).sum(1);
  if (layer.args().num_shared_experts > 0) {
    const at::Tensor hidden = at::silu(x.matmul(weights.at("shared_experts.w1.weight").t())) *
                              x.matmul(weights.at("shared_experts.w3.weight").t());
    sum = sum + hidden.matmul(weights.at("shared_experts.w2.weight").t());
  }
  return sum.view(x_bsd.sizes());
}

void expect_close(const at::Tensor& a, const at::Tensor& b, const std::string& what) {
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  EXPECT_LE((a - b).abs().max().item<float>(), 2e-5 * (1 + b.abs().max().item<float>())) << what;
}

/// Output and all gradients.
void expect_as_dense(MoE& layer) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(9);
  const at::Tensor values = at::randn({2, 13, kDim}, generator, at::TensorOptions());
  const at::Tensor weight_of_loss = at::randn({2, 13, kDim}, generator, at::TensorOptions());
  std::map<std::string, at::Tensor> gradients;
  at::Tensor output;
  for (const bool is_dense : {false, true}) {
    const at::Tensor x = values.clone().set_requires_grad(true);
    for (const NamedParameter& named : layer.named_parameters()) {
      named.parameter->tensor.mutable_grad().reset();
    }
    const at::Tensor result = is_dense ? dense(layer, x) : layer.call(x);
    (result * weight_of_loss).sum().backward();
    auto now = std::map<std::string, at::Tensor>{{"x", x.grad()}};
    for (const NamedParameter& named : layer.named_parameters()) {
      ASSERT_TRUE(named.tensor().grad().defined()) << named.name;
      now[named.name] = named.tensor().grad();
    }
    if (!is_dense) {
      output = result;
      gradients = now;
      continue;
    }
    expect_close(output, result, "output");
    for (const auto& [name, gradient] : now) expect_close(gradients.at(name), gradient, name);
  }
}

void take_fast_paths(MoE& layer) {
  for (const auto& [name, module] : layer.named_modules()) {
    if (auto* fast = dynamic_cast<FastPath*>(module)) fast->take_fast_path();
  }
}

TEST(MoE, IsTheSumOfTheChosenExperts) {
  for (const bool before : {false, true}) {
    for (const ScoreFunction function : {ScoreFunction::kSigmoid, ScoreFunction::kSoftmax}) {
      for (const std::int64_t shared : {0, 2}) {
        MoEArgs args;
        args.num_experts = 6;
        args.top_k = 3;
        args.score_before_experts = before;
        args.score_func = function;
        args.num_shared_experts = shared;
        args.route_norm = function == ScoreFunction::kSigmoid;
        args.route_scale = 1.5;
        SCOPED_TRACE(concat("before ", before, ", shared ", shared));
        const auto layer = make(args);
        expect_as_dense(*layer);
        take_fast_paths(*layer);
        expect_as_dense(*layer);
      }
    }
  }
}

TEST(MoE, AllTokensToOneExpert) {
  MoEArgs args;
  args.num_experts = 5;
  args.top_k = 1;
  const auto layer = make(args);
  {
    const c10::NoGradGuard no_grad;
    layer->expert_bias()[3] = 10;
  }
  expect_as_dense(*layer);
  const at::Tensor gradient = weights_of(*layer).at("experts.w2").grad();
  for (std::int64_t e = 0; e < 5; ++e) {
    EXPECT_EQ(gradient[e].abs().max().item<float>() > 0, e == 3) << "expert " << e;
  }
}

TEST(MoE, NoTokens) {
  const auto layer = make({});
  const at::Tensor x = at::zeros({1, 0, kDim}).set_requires_grad(true);
  const at::Tensor output = layer->call(x);
  EXPECT_EQ(output.sizes(), x.sizes());
  output.sum().backward();
  EXPECT_EQ(weights_of(*layer).at("experts.w1").grad().abs().max().item<float>(), 0);
}

TEST(MoE, NamesAndBuffersAreTheReferences) {
  const auto layer = make({});
  std::vector<std::string> names;
  for (const NamedParameter& named : layer->named_parameters()) names.push_back(named.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"experts.w1", "experts.w2", "experts.w3",
                                      "router.gate.weight", "shared_experts.w1.weight",
                                      "shared_experts.w2.weight", "shared_experts.w3.weight"}));
  ASSERT_EQ(layer->persistent_buffers().size(), 1);
  EXPECT_EQ(layer->persistent_buffers()[0].name, "expert_bias");
  EXPECT_EQ(layer->expert_bias().abs().max().item<float>(), 0);
  MoEArgs without;
  without.load_balance_coeff.reset();
  EXPECT_TRUE(make(without)->persistent_buffers().empty());
}

}  // namespace
}  // namespace titan::nn
