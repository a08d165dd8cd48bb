#include "titan/components/quantization/float8_linear.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "support/local_ranks.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/mx_linear.h"

namespace titan::components {
namespace {

using config::Float8Recipe;

constexpr std::array kRecipes = {Float8Recipe::kTensorwise, Float8Recipe::kRowwise,
                                 Float8Recipe::kRowwiseWithGwHp};

at::Tensor random(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

struct Results {
  at::Tensor y, of_x, of_weight;
};

template <class Product>
Results through(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& gradient,
                const Product& product) {
  const at::Tensor input = x.detach().clone().requires_grad_();
  const at::Tensor parameter = weight.detach().clone().requires_grad_();
  const at::Tensor y = product(input, parameter);
  y.backward(gradient);
  return {y.detach(), input.grad(), parameter.grad()};
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>() /
         b.to(at::kDouble).abs().max().item<double>();
}

TEST(Float8, TheLargestEntryBecomesTheLargestNumberAndTheOthersAreNearest) {
  const at::Tensor x = at::tensor({1.0F, -2.0F, 0.3F, 0.0F, 0.01F, 1e-6F}).view({2, 3});
  const Float8Matrix rounded = to_float8(x, float8_scale(x, {}), at::kFloat8_e4m3fn);
  EXPECT_EQ(rounded.scale.item<float>(), 224.0F);
  EXPECT_EQ(rounded.values[0][1].to(at::kFloat).item<float>(), -448.0F);
  // 0.3 * 224 = 67.2; between 64 and 128 numbers of this type are 8 apart.
  EXPECT_EQ(rounded.values[0][2].to(at::kFloat).item<float>(), 64.0F);
  EXPECT_EQ(rounded.values[1][2].to(at::kFloat).item<float>(), 0.0F);
}

TEST(Float8, ZerosStayZeros) {
  const at::Tensor x = at::zeros({2, 3});
  const Float8Matrix rounded =
      to_float8(x, float8_scale(x, {.granularity = Granularity::kRow}), at::kFloat8_e4m3fn);
  EXPECT_EQ(rounded.values.to(at::kFloat).abs().max().item<float>(), 0.0F);
  EXPECT_TRUE((rounded.values.to(at::kFloat) / rounded.scale).isfinite().all().item<bool>());
}

TEST(Float8Linear, IsNearTheLayerInFullPrecision) {
  const at::Tensor x = random({2, 24, 32}, 1);
  const at::Tensor weight = random({48, 32}, 2);
  const at::Tensor gradient = random({2, 24, 48}, 3);
  const Results exact =
      through(x, weight, gradient, [](const auto& a, const auto& b) { return at::linear(a, b); });
  for (const Float8Recipe recipe : kRecipes) {
    const Results rounded = through(x, weight, gradient, [&](const auto& a, const auto& b) {
      return float8_linear(a, b, {recipe});
    });
    EXPECT_EQ(rounded.y.sizes(), exact.y.sizes());
    EXPECT_LT(distance(rounded.y, exact.y), 0.05) << config::to_string(recipe);
    EXPECT_GT(distance(rounded.y, exact.y), 1e-4) << config::to_string(recipe);
    EXPECT_LT(distance(rounded.of_x, exact.of_x), 0.1) << config::to_string(recipe);
    EXPECT_LT(distance(rounded.of_weight, exact.of_weight), 0.1) << config::to_string(recipe);
  }
}

/// Weights cut as tensor parallelism cuts them (dimension 0 with all of x, dimension 1 with a part of its features): scales
/// are those of the whole, so what a rank rounds is a part of what one rank would.
TEST(Float8Linear, PartsOfAWeightHaveTheScalesOfTheWhole) {
  constexpr std::int64_t kRanks = 2;
  const at::Tensor x = random({24, 32}, 1);
  // One part has larger entries than the other.
  const at::Tensor weight = random({48, 32}, 2) *
                            at::cat({at::ones({24, 1}), at::full({24, 1}, 5.0)}) *
                            at::cat({at::ones({1, 16}), at::full({1, 16}, 3.0)}, 1);
  const at::Tensor gradient =
      random({24, 48}, 3) * at::cat({at::ones({1, 24}), at::full({1, 24}, 7.0)}, 1);
  for (const Float8Recipe recipe : kRecipes) {
    const Results whole = through(x, weight, gradient, [&](const auto& a, const auto& b) {
      return float8_linear(a, b, {recipe});
    });
    for (const int dim : {0, 1}) {
      std::array<Results, kRanks> parts;
      test::on_local_ranks({1, 1, 1, kRanks}, kRanks, [&](const comm::RankContext& context) {
        const WeightRanks ranks{&context.group(mesh::MeshDim::kTp), dim};
        const std::int64_t rank = context.rank;
        parts.at(static_cast<std::size_t>(rank)) =
            through(dim == 0 ? x : x.chunk(kRanks, 1)[rank], weight.chunk(kRanks, dim)[rank],
                    dim == 0 ? gradient.chunk(kRanks, 1)[rank] : gradient,
                    [&](const auto& a, const auto& b) {
                      return float8_linear(a, b, {recipe, Float8Products::kEmulated, ranks});
                    });
      });
      const Results& a = parts[0];
      const Results& b = parts[1];
      const auto label = testing::Message() << config::to_string(recipe) << ", dimension " << dim;
      if (dim == 0) {
        EXPECT_LT(distance(at::cat({a.y, b.y}, 1), whole.y), 1e-6) << label;
        EXPECT_LT(distance(a.of_x + b.of_x, whole.of_x), 1e-6) << label;
      } else {
        EXPECT_LT(distance(a.y + b.y, whole.y), 1e-6) << label;
        EXPECT_LT(distance(at::cat({a.of_x, b.of_x}, 1), whole.of_x), 1e-6) << label;
      }
      EXPECT_LT(distance(at::cat({a.of_weight, b.of_weight}, dim), whole.of_weight), 1e-6) << label;
    }
  }
}

TEST(MX, NeighboursShareAPowerOfTwo) {
  at::Tensor x = at::zeros({1, 64});
  x[0][0] = 3.0;   // floor(log2) = 1
  x[0][40] = 0.1;  // -4
  const MXTensor rounded = to_mx(x, MXScaling::kFloor);
  EXPECT_EQ(rounded.exponents[0][0].item<int>(), 127 + 1 - 8);
  EXPECT_EQ(rounded.exponents[0][1].item<int>(), 127 - 4 - 8);
  EXPECT_EQ(rounded.dequantized(at::kFloat)[0][0].item<float>(), 3.0F);
  EXPECT_NEAR(rounded.dequantized(at::kFloat)[0][40].item<float>(), 0.1F, 0.1F / 16);
}

TEST(MX, RoundingUpClipsNothing) {
  at::Tensor x = at::zeros({1, 32});
  x[0][0] = 460.0;
  EXPECT_EQ(to_mx(x, MXScaling::kFloor).dequantized(at::kFloat).max().item<float>(), 448.0F);
  EXPECT_EQ(to_mx(x, MXScaling::kRceil).dequantized(at::kFloat).max().item<float>(), 448.0F);
  x[0][0] = 500.0;
  EXPECT_EQ(to_mx(x, MXScaling::kFloor).dequantized(at::kFloat).max().item<float>(), 448.0F);
  EXPECT_EQ(to_mx(x, MXScaling::kRceil).dequantized(at::kFloat).max().item<float>(), 512.0F);
}

TEST(MXLinear, RefusesWhatIsNoWholeNumberOfBlocks) {
  EXPECT_THAT(test::message_of<ConfigError>([] {
                mx_linear(at::ones({24, 32}), at::ones({32, 32}), MXScaling::kFloor);
              }),
              testing::HasSubstr("24 tokens"));
}

}  // namespace
}  // namespace titan::components
