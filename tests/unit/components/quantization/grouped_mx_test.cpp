// What a GPU is given for grouped products in MXFP8, multiplied by a CPU as LibTorch's kernel reads it.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <torch/library.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "titan/components/quantization/grouped_products.h"

namespace titan::components {
namespace {

using at::Tensor;

std::int64_t whole(std::int64_t count, std::int64_t of) { return (count + of - 1) / of * of; }

/// Rows `[rows, n]` as their scales, which begin at `scales`, say.
Tensor dequantized(const Tensor& values, const std::uint8_t* scales) {
  Tensor result = values.to(at::kFloat).contiguous();
  auto* numbers = result.mutable_data_ptr<float>();
  const std::int64_t blocks = values.size(1) / 32;
  for (std::int64_t row = 0; row < values.size(0); ++row) {
    for (std::int64_t column = 0; column < values.size(1); ++column) {
      const std::int64_t block = column / 32;
      const std::int64_t tile = row / 128 * (whole(blocks, 4) / 4) + block / 4;
      const std::uint8_t exponent =
          scales[tile * 512 + row % 32 * 16 + row % 128 / 32 * 4 + block % 4];
      numbers[row * values.size(1) + column] *= std::exp2(static_cast<float>(exponent) - 127);
    }
  }
  return result;
}

/// As PyTorch 2.11's kernel of compute capability 10.0 finds each group (MSLK, mx8mx8bf16_grouped): a `[rows, K]` with b
/// `[groups, K, N]`, or both with groups of K. What no group has a product of is left as it is.
Tensor grouped_product_of_a_gpu(const Tensor& a, const Tensor& b, const Tensor& of_a,
                                const Tensor& of_b, const std::optional<Tensor>& ends,
                                const std::optional<Tensor>&, const std::optional<Tensor>&,
                                std::optional<at::ScalarType> type, bool) {
  TORCH_CHECK(a.is_contiguous() && b.transpose(-2, -1).is_contiguous());
  TORCH_CHECK(of_a.is_contiguous() && of_b.is_contiguous() && of_b.dim() == 2 && of_a.dim() == 2);
  TORCH_CHECK(of_a.scalar_type() == at::kFloat8_e8m0fnu && ends->scalar_type() == at::kInt);
  const bool by_rows = b.dim() == 3;
  const std::int64_t groups = ends->numel();
  const std::int64_t columns = b.size(-1);
  const auto* scales_of_a = static_cast<const std::uint8_t*>(of_a.const_data_ptr());
  const auto* scales_of_b = static_cast<const std::uint8_t*>(of_b.const_data_ptr());
  const std::int64_t blocks = whole(a.size(1) / 32, 4);
  if (by_rows) {
    TORCH_CHECK(of_b.size(0) == groups && of_b.size(1) == blocks * whole(columns, 128));
  } else {
    TORCH_CHECK(of_b.size(0) >= columns);
  }
  TORCH_CHECK(of_a.size(0) >= a.size(0));
  Tensor result =
      by_rows ? at::empty({a.size(0), columns}) : at::empty({groups, a.size(0), columns});
  result.fill_(NAN);
  std::int64_t begin = 0;
  for (std::int64_t group = 0; group < groups; ++group) {
    const std::int64_t length = (*ends)[group].item<std::int64_t>() - begin;
    if (length > 0 && by_rows) {
      const Tensor left = dequantized(a.narrow(0, begin, length), scales_of_a);
      const Tensor right = dequantized(b[group].t(), scales_of_b + group * of_b.size(1));
      result.narrow(0, begin, length).copy_(left.mm(right.t()));
      scales_of_a += whole(length, 128) * blocks;
    } else if (length > 0) {
      TORCH_CHECK(length % 32 == 0);
      const Tensor left = dequantized(a.narrow(1, begin, length), scales_of_a);
      const Tensor right = dequantized(b.narrow(0, begin, length).t(), scales_of_b);
      result[group].copy_(left.mm(right.t()));
      scales_of_a += whole(a.size(0), 128) * whole(length / 32, 4);
      scales_of_b += whole(columns, 128) * whole(length / 32, 4);
    }
    begin += length;
  }
  return result.to(*type);
}

TORCH_LIBRARY_IMPL(aten, CPU, library) {
  library.impl("_scaled_grouped_mm", &grouped_product_of_a_gpu);
}

Tensor random(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat)
      .to(at::kBFloat16);
}

TEST(GroupedMX, AGpuIsGivenWhatIsEmulated) {
  for (const auto& [counts, in, out] :
       {std::tuple{std::vector<std::int64_t>{5, 0, 160, 33, 300, 0}, 256, 128},
        {{1, 32, 0, 64}, 160, 224},
        {{0, 0, 7}, 32, 32}}) {
    const Tensor of_groups = at::tensor(counts, at::kLong);
    const auto count = of_groups.sum().item<std::int64_t>();
    const auto groups = static_cast<std::int64_t>(counts.size());
    const auto run = [&, in = in, out = out](MXProducts products) {
      const Tensor x = random({count, in}, 1).requires_grad_(true);
      const Tensor weights = random({groups, out, in}, 2).requires_grad_(true);
      const Tensor y = mx_grouped_product(x, weights, of_groups, products);
      y.backward(random({count, out}, 3));
      return std::vector<Tensor>{y.detach(), x.grad(), weights.grad()};
    };
    const auto expected = run(MXProducts::kEmulated);
    const auto results = run(MXProducts::kScaled);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      // Sums are taken in another type: one rounding to bfloat16 each.
      const Tensor near = expected[i].to(at::kFloat);
      const Tensor bound = near.abs() * 0.0079 + near.abs().max() * 1e-5;
      EXPECT_LE(((results[i].to(at::kFloat) - near).abs() - bound).max().item<float>(), 0)
          << i << " of " << in << " x " << out;
      EXPECT_FALSE(results[i].isnan().any().item<bool>());
    }
  }
}

}  // namespace
}  // namespace titan::components
