#include "titan/components/quantization/linear_bias.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "components/quantization/linear_converters.h"
#include "support/linear_with_bias.h"
#include "titan/components/quantization/float8_linear.h"
#include "titan/components/quantization/mx_linear.h"
#include "titan/components/quantization/select_linears.h"
#include "titan/config/job_config.h"
#include "titan/protocols/model.h"

namespace titan::components {
namespace {

constexpr std::int64_t kIn = 64;
constexpr std::int64_t kOut = 32;

at::Tensor random(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

/// A user's model: one layer, with a bias.
class Model : public protocols::ModelProtocol {
 public:
  Model()
      : layer_(add_child("layer", std::make_unique<test::LinearWithBias>(kIn, kOut, at::kFloat))) {}
  void init_weights(at::Generator, std::optional<at::Device>) override {}

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override { return {layer_->call(inputs.at(0))}; }

 private:
  nn::Module* layer_;
};

/// With more than a converter knows.
class LowRank : public nn::Linear {
 public:
  LowRank() : Linear(kIn, kOut, at::kFloat) { add_parameter("lora_a", at::ones({4, kIn})); }
};

struct Results {
  at::Tensor y, of_x, of_weight, of_bias;
};

Results converted(const config::JobConfig& config, bool mx, const at::Tensor& weight,
                  const at::Tensor& bias) {
  Model model;
  const comm::RankContext context;
  const auto converter =
      mx ? build_mx_converter(config, context) : build_float8_converter(config, context);
  converter->convert(model);
  model.to_empty(at::kCPU);
  const auto parameters = model.named_parameters();
  parameters.at(0).parameter->fill([&](const at::Tensor& full) { full.copy_(weight); });
  parameters.at(1).parameter->fill([&](const at::Tensor& full) { full.copy_(bias); });
  const at::Tensor x = random({96, kIn}, 3).requires_grad_();
  const at::Tensor y = model.call(x);
  y.backward(random({96, kOut}, 4));
  return {y.detach(), x.grad(), parameters[0].tensor().grad(), parameters[1].tensor().grad()};
}

TEST(LinearBias, IsAddedToTheProductsOfEveryConverter) {
  const at::Tensor weight = random({kOut, kIn}, 1);
  const at::Tensor bias = random({kOut}, 2);
  const at::Tensor x = random({96, kIn}, 3);
  config::JobConfig config;
  config.quantize.linear.float8.emulate = true;
  config.quantize.linear.mx.recipe_name = "mxfp8_emulated";
  for (const bool mx : {false, true}) {
    const Results results = converted(config, mx, weight, bias);
    const at::Tensor product =
        mx ? mx_linear(x, weight, MXScaling::kFloor) : float8_linear(x, weight, {});
    EXPECT_TRUE(at::equal(results.y, product + bias));
    EXPECT_TRUE(at::equal(results.of_bias, random({96, kOut}, 4).sum(0)));
    const Results without = converted(config, mx, weight, bias * 0);
    EXPECT_TRUE(at::equal(without.y, product));
    EXPECT_TRUE(at::equal(results.of_x, without.of_x));
    EXPECT_TRUE(at::equal(results.of_weight, without.of_weight));
  }
}

TEST(LinearBias, LayersWithMoreThanThatAreLeft) {
  struct Layers : public nn::Module {
    Layers() { add_child("q", std::make_unique<LowRank>()); }
    nn::Tensors forward(const nn::Inputs& inputs) override { return inputs.tensors; }
  } layers;
  const Selection selection = select_linears(layers, {});
  EXPECT_TRUE(selection.converted.empty());
  EXPECT_THAT(selection.left, testing::ElementsAre(testing::Pair(
                                  "q", testing::HasSubstr("parameters beside weight and bias"))));
}

}  // namespace
}  // namespace titan::components
