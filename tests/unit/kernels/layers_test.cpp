#include "titan/kernels/layers.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <limits>
#include <tuple>
#include <vector>

#include "support/kernel_twin.h"
#include "titan/kernels/products.h"

namespace titan::kernels {
namespace {

using at::Tensor;

class Layers : public testing::Test {
 protected:
  Layers() { at::manual_seed(1); }
};

TEST_F(Layers, RmsNorm) {
  // A norm of one number is 1 wherever it is: its gradient is what cancelling leaves, which has no digits to compare.
  for (const std::int64_t dim : {256, 40, 7}) {
    SCOPED_TRACE(dim);
    expect_like([](const Tensors& x) { return rms_norm(x[0], x[1], 1e-5); },
                [dim](const Tensors& x) { return at::rms_norm(x[0], {dim}, x[1], 1e-5); },
                {at::randn({3, 11, dim}), at::randn({dim})}, at::randn({3, 11, dim}));
  }
}

/// LibTorch says so; nothing is read that is not there.
TEST_F(Layers, SizesThatDoNotBelongTogetherAreAnError) {
  for (const Products library : {Products::kBlas, Products::kOneDnn, Products::kSplit}) {
    if (!can_multiply(library)) continue;
    const ProductsScope scope(library);
    const Tensor weight = at::randn({40, 96});
    EXPECT_THROW(kernels::linear(at::randn({40, 64}), weight), c10::Error);
    EXPECT_THROW(kernels::linears(at::randn({40, 64}), {weight, weight}), c10::Error);
  }
  EXPECT_THROW(rms_norm(at::randn({3, 64}), at::randn({96}), 1e-5), c10::Error);
}

/// Several results side by side, so that each has its own gradient.
Tensor side_by_side(const Tensors& results) { return at::cat(results, -1); }

TEST_F(Layers, SumAndRmsNorm) {
  for (const std::int64_t dim : {256, 40, 7}) {
    SCOPED_TRACE(dim);
    const auto reference_of = [dim](const Tensor& sum, const Tensor& weight) {
      return side_by_side({at::rms_norm(sum, {dim}, weight, 1e-5), sum});
    };
    const auto fast_of = [](const Tensor& x, const Tensor& residual, const Tensor& weight) {
      const SumAndNorm results = sum_and_rms_norm(x, residual, weight, 1e-5);
      return side_by_side({results.normed, results.sum});
    };
    const Tensor gradient = at::randn({3, 11, 2 * dim});
    expect_like([&](const Tensors& x) { return fast_of(x[0], x[1], x[2]); },
                [&](const Tensors& x) { return reference_of(x[0] + x[1], x[2]); },
                {at::randn({3, 11, dim}), at::randn({3, 11, dim}), at::randn({dim})}, gradient);
    expect_like([&](const Tensors& x) { return fast_of(x[0], Tensor(), x[1]); },
                [&](const Tensors& x) { return reference_of(x[0], x[1]); },
                {at::randn({3, 11, dim}), at::randn({dim})}, gradient);
  }
}

TEST_F(Layers, SumAndRmsNormWhereOneResultIsNotUsed) {
  const Tensors inputs = {at::randn({5, 24}), at::randn({5, 24}), at::randn({24})};
  const auto sum_of = [](const Tensors& x) {
    return sum_and_rms_norm(x[0], x[1], x[2].detach(), 1e-5).sum;
  };
  const auto norm_of = [](const Tensors& x) {
    return sum_and_rms_norm(x[0], x[1], x[2], 1e-5).normed;
  };
  Tensors leaves = {inputs[0].clone().set_requires_grad(true),
                    inputs[1].clone().set_requires_grad(true), inputs[2]};
  const Tensor gradient = at::randn({5, 24});
  sum_of(leaves).backward(gradient);
  EXPECT_TRUE(leaves[0].grad().equal(gradient));
  EXPECT_TRUE(leaves[1].grad().equal(gradient));
  expect_like(
      norm_of, [](const Tensors& x) { return at::rms_norm(x[0] + x[1], {24}, x[2], 1e-5); }, inputs,
      gradient);
}

/// Where types differ LibTorch adds, as it does under autocast.
TEST_F(Layers, SumAndRmsNormOfTwoTypes) {
  const c10::NoGradGuard no_grad;
  const Tensor x = at::randn({5, 24});
  const Tensor residual = at::randn({5, 24}).to(at::kBFloat16);
  const Tensor weight = at::randn({24});
  const SumAndNorm results = sum_and_rms_norm(x, residual, weight, 1e-5);
  EXPECT_TRUE(results.sum.equal(x + residual));
  EXPECT_LT(distance(results.normed,
                     at::rms_norm(results.sum.to(at::kDouble), {24}, weight.to(at::kDouble), 1e-5)),
            1e-6);
}

TEST_F(Layers, Swiglu) {
  for (const std::int64_t dim : {64, 33, 9000}) {
    SCOPED_TRACE(dim);
    expect_like([](const Tensors& x) { return swiglu(x[0], x[1]); },
                [](const Tensors& x) { return at::silu(x[0]) * x[1]; },
                {4 * at::randn({5, dim}), at::randn({5, dim})}, at::randn({5, dim}));
  }
}

/// Forward and backward of the two kernels one after the other, and of the one that makes the product again.
TEST_F(Layers, LinearOfSwiglu) {
  for (const std::int64_t hidden : {64, 33}) {
    SCOPED_TRACE(hidden);
    const Tensors numbers = {2 * at::randn({2, 40, hidden}), at::randn({2, 40, hidden}),
                             at::randn({48, hidden})};
    const Tensor slopes = at::randn({2, 40, 48});
    const auto results_of = [&](const Function& function) {
      Tensors leaves;
      for (const Tensor& x : numbers) leaves.push_back(x.clone().set_requires_grad(true));
      const Tensor y = function(leaves);
      y.backward(slopes);
      return Tensors{y, leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
    };
    const Tensors kept =
        results_of([](const Tensors& x) { return linears(swiglu(x[0], x[1]), {x[2]})[0]; });
    const Tensors again = results_of(
        [](const Tensors& x) { return linear_of_swiglu(swiglu(x[0], x[1]), x[0], x[1], x[2]); });
    for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_TRUE(kept[i].equal(again[i])) << i;
  }
}

TEST_F(Layers, LinearOfSwigluIsDifferentiatedByWhatIsTrained) {
  const Tensors numbers = {at::randn({40, 33}), at::randn({40, 33}), at::randn({48, 33})};
  for (std::size_t trained = 0; trained < numbers.size(); ++trained) {
    SCOPED_TRACE(trained);
    const auto gradient_of = [&](bool again) {
      Tensors x = {numbers[0].clone(), numbers[1].clone(), numbers[2].clone()};
      x[trained].set_requires_grad(true);
      const Tensor product = swiglu(x[0], x[1]);
      const Tensor y =
          again ? linear_of_swiglu(product, x[0], x[1], x[2]) : linears(product, {x[2]})[0];
      y.sum().backward();
      return x[trained].grad();
    };
    EXPECT_TRUE(gradient_of(true).equal(gradient_of(false)));
  }
}

TEST_F(Layers, LinearOfSwigluDoesNotKeepTheProduct) {
  const Tensors x = {at::randn({40, 64}).set_requires_grad(true), at::randn({40, 64}),
                     at::randn({48, 64}).set_requires_grad(true)};
  const auto outlives = [&](bool again) {
    Tensor product = swiglu(x[0], x[1]);
    const Tensor y =
        again ? linear_of_swiglu(product, x[0], x[1], x[2]) : kernels::linear(product, x[2]);
    const c10::Storage& storage = product.storage();
    const c10::weak_intrusive_ptr<c10::StorageImpl> watched(
        c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(storage.unsafeGetStorageImpl()));
    product.reset();
    return !watched.expired();
  };
  EXPECT_TRUE(outlives(false));
  EXPECT_FALSE(outlives(true));
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

/// `fast` of numbers in bf16 against `reference` in fp64 of the same numbers.
void expect_rounded_like(const Function& fast, const Function& reference, const Tensors& numbers,
                         const Tensor& slopes) {
  Tensors halves;
  Tensors doubles;
  for (const Tensor& x : numbers) {
    halves.push_back(x.to(at::kBFloat16));
    doubles.push_back(halves.back().to(at::kDouble));
  }
  const Tensor gradient = slopes.to(at::kBFloat16);
  expect_rounded(differentiate(fast, halves, gradient),
                 differentiate(reference, doubles, gradient));
}

TEST_F(Layers, SwigluOfBfloat16) {
  for (const std::int64_t dim : {64, 33}) {
    expect_rounded_like([](const Tensors& x) { return swiglu(x[0], x[1]); },
                        [](const Tensors& x) { return at::silu(x[0]) * x[1]; },
                        {4 * at::randn({5, dim}), at::randn({5, dim})}, at::randn({5, dim}));
  }
}

TEST_F(Layers, RmsNormOfBfloat16) {
  for (const std::int64_t dim : {64, 33}) {
    SCOPED_TRACE(dim);
    expect_rounded_like([](const Tensors& x) { return rms_norm(x[0], x[1], 1e-5); },
                        [dim](const Tensors& x) { return at::rms_norm(x[0], {dim}, x[1], 1e-5); },
                        {at::randn({5, dim}), at::randn({dim})}, at::randn({5, dim}));
  }
}

/// The sum is rounded, and what follows is of that: so it is a whole number here, and exact.
TEST_F(Layers, SumAndRmsNormOfBfloat16) {
  const auto fast = [](const Tensors& x) {
    const SumAndNorm results = sum_and_rms_norm(x[0], x[1], x[2], 1e-5);
    return side_by_side({results.normed, results.sum});
  };
  const auto reference = [](const Tensors& x) {
    const Tensor sum = x[0] + x[1];
    return side_by_side({at::rms_norm(sum, {40}, x[2], 1e-5), sum});
  };
  expect_rounded_like(
      fast, reference,
      {(8 * at::randn({5, 40})).round(), (8 * at::randn({5, 40})).round(), at::randn({40})},
      at::randn({5, 80}));
}

TEST_F(Layers, RotateOfBfloat16) {
  const Tensor pairs = table_of_pairs({1, 21, 1, 12});
  expect_rounded_like([&](const Tensors& x) { return rotate(x[0], pairs); },
                      [&](const Tensors& x) { return rotated_pairs(x[0], pairs); },
                      {at::randn({2, 21, 3, 24})}, at::randn({2, 21, 3, 24}));
  const Tensor halves = table_of_halves({1, 21, 1, 12});
  expect_rounded_like([&](const Tensors& x) { return rotate(x[0], halves); },
                      [&](const Tensors& x) { return rotated_halves(x[0], halves); },
                      {at::randn({2, 21, 3, 24})}, at::randn({2, 21, 3, 24}));
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
    for (const std::int64_t half : {12, 64}) {
      SCOPED_TRACE(rows * half);
      const Tensors x = {at::randn({2, 21, 3, 2 * half})};
      const Tensor gradient = at::randn({2, 21, 3, 2 * half});
      const Tensor pairs = table_of_pairs({rows, 21, 1, half});
      expect_like([&](const Tensors& of) { return rotate(of[0], pairs); },
                  [&](const Tensors& of) { return rotated_pairs(of[0], pairs); }, x, gradient);
      const Tensor halves = table_of_halves({rows, 21, 1, half});
      expect_like([&](const Tensors& of) { return rotate(of[0], halves); },
                  [&](const Tensors& of) { return rotated_halves(of[0], halves); }, x, gradient);
    }
  }
}

TEST_F(Layers, RotateByHalves) {
  for (const std::int64_t rows : {1, 2}) {
    for (const std::int64_t dim : {24, 10}) {
      SCOPED_TRACE(dim);
      const Tensor table = at::randn({rows, 21, 1, 2 * dim});
      expect_like([&](const Tensors& x) { return rotate(x[0], table); },
                  [&](const Tensors& x) { return rotated_halves(x[0], table); },
                  {at::randn({2, 21, 3, dim})}, at::randn({2, 21, 3, dim}));
    }
  }
}

TEST_F(Layers, RotateTakesViews) {
  const Tensor x = at::randn({2, 3, 21, 24});
  for (const Tensor& table : {table_of_pairs({1, 21, 1, 12}), table_of_halves({1, 21, 1, 12})}) {
    EXPECT_TRUE(
        rotate(x.transpose(1, 2), table).equal(rotate(x.transpose(1, 2).contiguous(), table)));
  }
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

/// Of each library: several weights, whose products are those of single ones, and one sum for x.
TEST_F(Layers, LinearsAreLinearWithOneGradientOfX) {
  const Tensors inputs = {at::randn({2, 40, 64}), at::randn({50, 64}), at::randn({33, 64}),
                          at::randn({48, 64})};
  for (const Products library : {Products::kBlas, Products::kOneDnn, Products::kSplit}) {
    if (!can_multiply(library)) continue;
    const ProductsScope scope(library);
    const auto fast = [](const Tensors& x) {
      return side_by_side(kernels::linears(x[0], {x[1], x[2], x[3]}));
    };
    const auto reference = [](const Tensors& x) {
      return side_by_side({at::linear(x[0], x[1]), at::linear(x[0], x[2]), at::linear(x[0], x[3])});
    };
    expect_like(fast, reference, inputs, at::randn({2, 40, 50 + 33 + 48}));
    const c10::NoGradGuard no_grad;
    EXPECT_TRUE(kernels::linears(inputs[0], {inputs[1], inputs[2]})[1].equal(
        kernels::linear(inputs[0], inputs[2])));
  }
}

TEST_F(Layers, LinearsOfWhichOneIsNotUsedAndOneIsFrozen) {
  const Tensor x = at::randn({40, 64}).set_requires_grad(true);
  const Tensor frozen = at::randn({33, 64});
  const Tensor unused = at::randn({50, 64}).set_requires_grad(true);
  const Tensor used = at::randn({48, 64}).set_requires_grad(true);
  const Tensors y = kernels::linears(x, {frozen, unused, used});
  const Tensor first = at::randn({40, 33});
  const Tensor last = at::randn({40, 48});
  ((y[0] * first).sum() + (y[2] * last).sum()).backward();
  EXPECT_FALSE(unused.grad().defined());
  const auto wide = [](const Tensor& tensor) { return tensor.detach().to(at::kDouble); };
  EXPECT_LT(distance(used.grad(), wide(last).t().mm(wide(x))), 2e-6);
  EXPECT_LT(distance(x.grad(), wide(first).mm(wide(frozen)) + wide(last).mm(wide(used))), 2e-6);
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
