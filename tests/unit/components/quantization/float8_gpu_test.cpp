#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "components/quantization/float8_operators.h"
#include "titan/components/quantization/float8_linear.h"
#include "titan/tools/accelerator.h"

namespace titan::components {
namespace {

/// Kernels of a GPU against what all other devices do.
class Float8OnGpu : public testing::Test {
 protected:
  void SetUp() override {
    const tools::AcceleratorSearch search = tools::find_accelerator();
    if (search.accelerator == nullptr) GTEST_SKIP() << search.reason;
    if (search.accelerator->facts(0).capability < 89) {
      GTEST_SKIP() << "float8 products need a GPU of compute capability 8.9";
    };
  }

  static at::Tensor random(at::IntArrayRef sizes, std::uint64_t seed) {
    return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
  }

  static bool same_bits(const at::Tensor& gpu, const at::Tensor& cpu) {
    return at::equal(gpu.cpu().contiguous().view(at::kByte), cpu.contiguous().view(at::kByte));
  }
};

TEST_F(Float8OnGpu, CastsHaveTheCpusBits) {
  std::uint64_t seed = 0;
  for (const at::ScalarType source : {at::kBFloat16, at::kFloat}) {
    for (const at::ScalarType type : {at::kFloat8_e4m3fn, at::kFloat8_e5m2}) {
      for (const bool by_column : {false, true}) {
        for (const bool is_view : {false, true}) {
          for (const auto granularity :
               {Granularity::kTensor, Granularity::kRow, Granularity::kColumn}) {
            // Sides that are whole packs of 8, and sides that only rows are.
            const std::int64_t side = granularity == Granularity::kColumn ? 77 : 200;
            at::Tensor matrix = random({is_view || by_column ? side : 77, 104}, ++seed).to(source);
            matrix[3][5] = 1e-30;
            matrix[4].zero_();
            if (is_view) matrix = matrix.t();
            const at::Tensor scale = float8_scale(matrix, {type, granularity, true});
            const at::Tensor cpu = cast_to_float8(matrix, scale * 1.5, type, by_column);
            const at::Tensor gpu =
                cast_to_float8(matrix.to(at::kCUDA), scale.to(at::kCUDA) * 1.5, type, by_column);
            EXPECT_EQ(gpu.strides(), cpu.strides());
            EXPECT_TRUE(same_bits(gpu, cpu)) << seed;
          }
        }
      }
    }
  }
}

TEST_F(Float8OnGpu, ScalesHaveTheCpusBits) {
  at::Tensor entries = random({5000}, 1).abs();
  entries[0] = 0.0;
  entries[1] = 1e-20;
  entries[2] = std::numeric_limits<double>::infinity();
  for (const at::ScalarType source : {at::kBFloat16, at::kFloat}) {
    for (const bool power_of_two : {false, true}) {
      const at::Tensor cpu = float8_scales(entries.to(source), at::kFloat8_e4m3fn, power_of_two);
      const at::Tensor gpu =
          float8_scales(entries.to(source).to(at::kCUDA), at::kFloat8_e4m3fn, power_of_two);
      EXPECT_TRUE(same_bits(gpu, cpu));
    }
  }
}

TEST_F(Float8OnGpu, ProductsOfTheUnitsAreNearEmulatedOnes) {
  const at::Tensor x = random({2, 64, 128}, 1).to(at::kCUDA, at::kBFloat16);
  const at::Tensor weight = random({256, 128}, 2).to(at::kCUDA, at::kBFloat16);
  const at::Tensor gradient = random({2, 64, 256}, 3).to(at::kCUDA, at::kBFloat16);
  for (const auto recipe : {config::Float8Recipe::kTensorwise, config::Float8Recipe::kRowwise,
                            config::Float8Recipe::kRowwiseWithGwHp}) {
    const auto results = [&](Float8Products products) {
      const at::Tensor input = x.detach().clone().requires_grad_();
      const at::Tensor parameter = weight.detach().clone().requires_grad_();
      const at::Tensor y = float8_linear(input, parameter, {recipe, products});
      y.backward(gradient);
      return std::vector<at::Tensor>{y.detach(), input.grad(), parameter.grad()};
    };
    const auto scaled = results(Float8Products::kScaled);
    const auto emulated = results(Float8Products::kEmulated);
    for (std::size_t i = 0; i < scaled.size(); ++i) {
      const at::Tensor exact = emulated[i].to(at::kFloat);
      const double off = (scaled[i].to(at::kFloat) - exact).norm().item<double>();
      EXPECT_LT(off / exact.norm().item<double>(), 1e-2) << config::to_string(recipe) << " " << i;
    }
  }
}

}  // namespace
}  // namespace titan::components
