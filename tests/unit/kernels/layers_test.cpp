#include "titan/kernels/layers.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <tuple>

#include "titan/kernels/products.h"

namespace titan::kernels {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;
using Function = std::function<Tensor(const Tensors&)>;

class Layers : public testing::Test {
 protected:
  Layers() { at::manual_seed(1); }
};

/// The result, and the gradients by the inputs where `gradient` comes in.
Tensors differentiate(const Function& function, const Tensors& inputs, const Tensor& gradient) {
  Tensors leaves;
  for (const Tensor& x : inputs) leaves.push_back(x.detach().clone().set_requires_grad(true));
  const Tensor result = function(leaves);
  result.backward(gradient.to(result.scalar_type()));
  Tensors all = {result.detach()};
  for (const Tensor& leaf : leaves) all.push_back(leaf.grad());
  return all;
}

double distance(const Tensor& a, const Tensor& b) {
  return (a.to(at::kDouble) - b).abs().max().item<double>() / b.abs().max().item<double>();
}

/// `fast` in fp32 against `reference` in fp64, for 1 thread and, with the same bits, for 3.
void expect_like(const Function& fast, const Function& reference, const Tensors& inputs,
                 const Tensor& gradient) {
  Tensors doubles;
  for (const Tensor& x : inputs) doubles.push_back(x.to(at::kDouble));
  const Tensors expected = differentiate(reference, doubles, gradient);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensors results = differentiate(fast, inputs, gradient);
  at::set_num_threads(3);
  const Tensors again = differentiate(fast, inputs, gradient);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_LT(distance(results[i], expected[i]), 2e-6);
    EXPECT_TRUE(results[i].equal(again[i]));
  }
}

TEST_F(Layers, RmsNorm) {
  // A norm of one number is 1 wherever it is: its gradient is what cancelling leaves, which has no digits to compare.
  for (const std::int64_t dim : {256, 40, 7}) {
    SCOPED_TRACE(dim);
    expect_like([](const Tensors& x) { return rms_norm(x[0], x[1], 1e-5); },
                [dim](const Tensors& x) { return at::rms_norm(x[0], {dim}, x[1], 1e-5); },
                {at::randn({3, 11, dim}), at::randn({dim})}, at::randn({3, 11, dim}));
  }
}

TEST_F(Layers, Swiglu) {
  for (const std::int64_t dim : {64, 33, 9000}) {
    SCOPED_TRACE(dim);
    expect_like([](const Tensors& x) { return swiglu(x[0], x[1]); },
                [](const Tensors& x) { return at::silu(x[0]) * x[1]; },
                {4 * at::randn({5, dim}), at::randn({5, dim})}, at::randn({5, dim}));
  }
}

/// Computed in fp32 of numbers in bf16: the result is the exact one, rounded, whose error is at most 2^-8 of itself.
void expect_rounded(const Tensors& results, const Tensors& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(results[i].scalar_type(), at::kBFloat16);
    const Tensor error = (results[i].to(at::kDouble) - expected[i]).abs();
    EXPECT_LE((error - expected[i].abs() * 0.00391).max().item<double>(), 1e-5);
  }
}

TEST_F(Layers, SwigluAndRotateOfBfloat16) {
  const auto halves = [](const Tensors& x) {
    Tensors result;
    for (const Tensor& one : x) result.push_back(one.to(at::kBFloat16));
    return result;
  };
  const auto doubles = [](const Tensors& x) {
    Tensors result;
    for (const Tensor& one : x) result.push_back(one.to(at::kDouble));
    return result;
  };
  for (const std::int64_t dim : {64, 33}) {
    const Tensors inputs = halves({4 * at::randn({5, dim}), at::randn({5, dim})});
    const Tensor gradient = at::randn({5, dim}).to(at::kBFloat16);
    const auto fast = [](const Tensors& x) { return swiglu(x[0], x[1]); };
    const auto reference = [](const Tensors& x) { return at::silu(x[0]) * x[1]; };
    expect_rounded(differentiate(fast, inputs, gradient),
                   differentiate(reference, doubles(inputs), gradient));
  }
  const Tensor angle = at::randn({1, 21, 1, 12});
  const Tensor table = at::polar(at::ones_like(angle), angle);
  const Tensors inputs = halves({at::randn({2, 21, 3, 24})});
  const Tensor gradient = at::randn({2, 21, 3, 24}).to(at::kBFloat16);
  const auto reference = [&](const Tensors& x) {
    const Tensor pairs = at::view_as_complex(x[0].reshape({2, 21, 3, 12, 2}));
    return at::view_as_real(pairs * table.to(at::kComplexDouble)).flatten(3);
  };
  expect_rounded(
      differentiate([&](const Tensors& x) { return rotate(x[0], table); }, inputs, gradient),
      differentiate(reference, doubles(inputs), gradient));
}

TEST_F(Layers, SwigluShowsWhatIsNoNumber) {
  const Tensor a = at::randn({1, 37});
  a[0][5] = std::numeric_limits<float>::quiet_NaN();
  a[0][36] = std::numeric_limits<float>::quiet_NaN();
  const Tensor y = swiglu(a, at::randn({1, 37}));
  EXPECT_EQ(y.isnan().sum().item<std::int64_t>(), 2);
  EXPECT_TRUE(y[0][5].isnan().item<bool>());
}

TEST_F(Layers, RotateOfTokensAndOfEachRowsOwnPositions) {
  for (const std::int64_t rows : {1, 2}) {
    SCOPED_TRACE(rows);
    const Tensor angle = at::randn({rows, 21, 1, 12});
    const Tensor table = at::polar(at::ones_like(angle), angle);
    const auto reference = [&](const Tensors& x) {
      const Tensor pairs = at::view_as_complex(x[0].reshape({2, 21, 3, 12, 2}));
      return at::view_as_real(pairs * table.to(at::kComplexDouble)).flatten(3);
    };
    expect_like([&](const Tensors& x) { return rotate(x[0], table); }, reference,
                {at::randn({2, 21, 3, 24})}, at::randn({2, 21, 3, 24}));
  }
}

TEST_F(Layers, RotateByHalves) {
  for (const std::int64_t rows : {1, 2}) {
    for (const std::int64_t dim : {24, 10}) {
      SCOPED_TRACE(dim);
      const Tensor table = at::randn({rows, 21, 1, 2 * dim});
      const auto reference = [&](const Tensors& x) {
        const Tensors parts = table.to(at::kDouble).chunk(2, -1);
        const Tensor turned = at::cat({-x[0].slice(-1, dim / 2), x[0].slice(-1, 0, dim / 2)}, -1);
        return x[0] * parts[0] + turned * parts[1];
      };
      expect_like([&](const Tensors& x) { return rotate(x[0], table); }, reference,
                  {at::randn({2, 21, 3, dim})}, at::randn({2, 21, 3, dim}));
    }
  }
}

TEST_F(Layers, RotateTakesViews) {
  const Tensor angle = at::randn({1, 21, 1, 12});
  const Tensor table = at::polar(at::ones_like(angle), angle);
  const Tensor x = at::randn({2, 3, 21, 24});
  EXPECT_TRUE(
      rotate(x.transpose(1, 2), table).equal(rotate(x.transpose(1, 2).contiguous(), table)));
}

void expect_linear(std::int64_t rows, std::int64_t inner, std::int64_t columns) {
  expect_like([](const Tensors& x) { return kernels::linear(x[0], x[1]); },
              [](const Tensors& x) { return at::linear(x[0], x[1]); },
              {at::randn({2, rows, inner}), at::randn({columns, inner})},
              at::randn({2, rows, columns}));
}

TEST_F(Layers, LinearWithEitherLibrary) {
  for (const Products library : {Products::kBlas, Products::kOneDnn}) {
    const ProductsScope scope(library);
    expect_linear(30, 64, 50);
  }
}

/// Less and more than a tile, less and more than is packed at a time.
TEST_F(Layers, LinearInSplitNumbers) {
  if (!can_multiply(Products::kSplit)) GTEST_SKIP() << "this processor has no unit for it";
  const ProductsScope scope(Products::kSplit);
  for (const auto& [rows, inner, columns] :
       {std::tuple{20, 32, 33}, {30, 64, 50}, {33, 100, 600}, {70, 2000, 45}, {300, 40, 64}}) {
    SCOPED_TRACE(inner);
    expect_linear(rows, inner, columns);
  }
}

/// Each sum in fp32 errs by some parts of 2^-24 of its terms' sizes, for numbers of any size. Of split numbers another
/// test says what they err by.
TEST_F(Layers, ProductsErrAsThoseInFp32) {
  const Tensor x = at::randn({64, 700}) * (6 * at::randn({64, 700})).exp2();
  const Tensor weight = at::randn({64, 700}) * (6 * at::randn({64, 700})).exp2();
  const Tensor expected = at::linear(x.to(at::kDouble), weight.to(at::kDouble));
  const Tensor sizes = at::linear(x.abs().to(at::kDouble), weight.abs().to(at::kDouble));
  for (const Products library : {Products::kBlas, Products::kOneDnn}) {
    const ProductsScope scope(library);
    const Tensor errors = (kernels::linear(x, weight).to(at::kDouble) - expected).abs() / sizes;
    EXPECT_LT(errors.max().item<double>(), 1e-6);
  }
}

TEST_F(Layers, ProductsShowWhatIsNoNumber) {
  for (const Products library : {Products::kBlas, Products::kOneDnn, Products::kSplit}) {
    if (!can_multiply(library)) continue;
    const ProductsScope scope(library);
    const Tensor x = at::randn({40, 64});
    x[7][3] = std::numeric_limits<float>::infinity();
    x[39][63] = std::numeric_limits<float>::quiet_NaN();
    const Tensor broken = kernels::linear(x, at::randn({33, 64})).isfinite().logical_not();
    EXPECT_EQ(broken.sum().item<std::int64_t>(), 2 * 33);
    EXPECT_TRUE(broken[7].all().item<bool>());
    EXPECT_TRUE(broken[39].all().item<bool>());
  }
}

}  // namespace
}  // namespace titan::kernels
