#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

#include "kernels/matrix_product.h"
#include "kernels/split_product.h"
#include "titan/kernels/products.h"

namespace titan::kernels {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

class SplitProduct : public testing::Test {
 protected:
  void SetUp() override {
    if (!can_multiply(Products::kSplit)) GTEST_SKIP() << "this processor has no unit for it";
    at::manual_seed(1);
  }
};

Tensor product_of(const Tensor& x, const Tensor& weight) {
  Tensor to = at::empty({x.size(0), weight.size(0)}, x.options());
  multiply_split(x, weight, to, /*adds=*/false);
  return to;
}

Tensor exact(const Tensor& x, const Tensor& weight) {
  return at::mm(x.to(at::kDouble), weight.to(at::kDouble).t());
}

/// What split_product.h says of the part of a sum that one block has, and of adding up the parts in fp32.
Tensor bound(const Tensor& given_x, const Tensor& given_weight) {
  constexpr double kUnit = 0x1p-24;
  const Tensor x = given_x.to(at::kDouble).abs();
  const Tensor weight = given_weight.to(at::kDouble).abs();
  Tensor all = at::mm(x, weight.t()) * kUnit;
  for (std::int64_t k = 0; k < x.size(1); k += kInnerBlock) {
    const std::int64_t count = std::min(kInnerBlock, x.size(1) - k);
    const Tensor a = x.narrow(1, k, count);
    const Tensor b = weight.narrow(1, k, count);
    const Tensor most_a = a.amax(1, /*keepdim=*/true);
    const Tensor most_b = b.amax(1, /*keepdim=*/true).t();
    const auto n = static_cast<double>(count);
    all += kUnit * (1.6 * most_a * b.sum(1) + 1.6 * a.sum(1, /*keepdim=*/true) * most_b +
                    2.1 * n * most_a * most_b + 4 * at::mm(a, b.t()));
    all += kUnit * static_cast<double>((x.size(1) - 1) / kInnerBlock) * at::mm(a, b.t());
  }
  return all + std::numeric_limits<float>::denorm_min() * static_cast<double>(x.size(1));
}

void expect_exact(const Tensor& x, const Tensor& weight) {
  const Tensor errors = (product_of(x, weight).to(at::kDouble) - exact(x, weight)).abs();
  EXPECT_TRUE((errors <= bound(x, weight)).all().item<bool>())
      << "up to " << (errors / bound(x, weight)).max().item<double>() << " of the bound";
}

TEST_F(SplitProduct, ErrsWithinItsBound) {
  for (const std::int64_t inner : {1, 3, 17, 63, 64, 65, 100, 255, 256, 257, 1000, 5000}) {
    SCOPED_TRACE(inner);
    const Tensor x = at::randn({47, inner});
    const Tensor weight = at::randn({70, inner});
    expect_exact(x, weight);
    expect_exact(x.exp(), (3 * weight).exp());
    expect_exact(x * (6 * at::randn({47, inner})).exp2(), weight);
    // Lines of very different sizes, to what fp32 ends at.
    expect_exact(x * (40 * at::randn({47, 1})).exp2().clamp(1e-38, 1e17),
                 weight * (30 * at::randn({70, 1})).exp2().clamp(1e-38, 1e17));
    Tensor outlier = x.clone();
    outlier[5][inner / 2] = 1e6;
    outlier[6].zero_();
    expect_exact(outlier, weight);
  }
}

/// Terms of like size, as the largest of a line: a sum in fp32 errs by some parts in 2^24 of its terms' sizes.
TEST_F(SplitProduct, ErrsAsAProductInFp32WhereNumbersAreOfLikeSize) {
  for (const std::int64_t inner : {64, 256, 768, 4096}) {
    SCOPED_TRACE(inner);
    const Tensor x = at::randn({128, inner});
    const Tensor weight = at::randn({96, inner});
    const Tensor sizes = exact(x.abs(), weight.abs());
    const auto error = [&](const Tensor& y) {
      return ((y.to(at::kDouble) - exact(x, weight)).abs() / sizes).max().item<double>();
    };
    EXPECT_LT(error(product_of(x, weight)), 6e-7);
    const Tensor errors = product_of(x, weight).to(at::kDouble) - exact(x, weight);
    const Tensor theirs = at::mm(x, weight.t()).to(at::kDouble) - exact(x, weight);
    EXPECT_LT(errors.norm().item<double>(), 4 * theirs.norm().item<double>());
  }
}

/// Every digit and every sum at the end of its range, with each sign.
TEST_F(SplitProduct, HoldsTheLargestIntegers) {
  for (const int pattern : {0x7EFFFF, 0x7E7F7F, 0x7E8080, 0x7E7F80, 0x7F7F7F, 0x400000}) {
    for (const float sign : {1.0F, -1.0F}) {
      SCOPED_TRACE(pattern);
      const Tensor x = at::full({32, 512}, static_cast<float>(pattern));
      const Tensor weight = at::full({32, 512}, sign * static_cast<float>(pattern));
      expect_exact(x, weight);
      expect_exact(-x, weight);
    }
  }
}

TEST_F(SplitProduct, TakesNumbersBelowTheNormalOnes) {
  const Tensor tiny = at::randn({40, 200}) * 1e-40;
  ASSERT_GT(tiny.abs().max().item<float>(), 0);
  expect_exact(tiny, at::randn({40, 200}) * 1e20);
  expect_exact(tiny * at::randint(0, 2, {40, 200}), at::randn({40, 200}));
  const Tensor large = at::full({40, 200}, std::numeric_limits<float>::max());
  expect_exact(large, at::randn({40, 200}) * 1e-10);
}

TEST_F(SplitProduct, TakesAnyStridesAndAddsToWhatIsThere) {
  for (const auto& [rows, inner, columns] :
       {std::tuple{33, 70, 65}, {1, 300, 40}, {90, 600, 1500}}) {
    SCOPED_TRACE(inner);
    const Tensor x = at::randn({rows, inner});
    const Tensor weight = at::randn({columns, inner});
    const Tensor expected = product_of(x, weight);
    const auto by_places = [](const Tensor& a) { return a.t().contiguous().t(); };
    const auto apart = [](const Tensor& a) {
      return at::zeros({a.size(0), 2 * a.size(1)}).slice(1, 0, std::nullopt, 2).copy_(a);
    };
    EXPECT_TRUE(product_of(by_places(x), weight).equal(expected));
    EXPECT_TRUE(product_of(by_places(x), by_places(weight)).equal(expected));
    EXPECT_TRUE(product_of(x, by_places(weight)).equal(expected));
    EXPECT_TRUE(product_of(apart(x), apart(weight)).equal(expected));

    const Tensor wide = at::ones({rows, columns + 7});
    Tensor to = wide.narrow(1, 3, columns);
    multiply_split(x, weight, to, /*adds=*/true);
    EXPECT_LT((to - expected - 1).abs().max().item<double>(),
              1e-6 * expected.abs().max().item<double>() + 1e-6);
    EXPECT_TRUE(wide.narrow(1, 0, 3).eq(1).all().item<bool>());
    EXPECT_TRUE(wide.narrow(1, columns + 3, 4).eq(1).all().item<bool>());
  }
}

/// Several at once have the bits of each alone, on any number of threads.
TEST_F(SplitProduct, SeveralHaveTheBitsOfEach) {
  const Tensors x = {at::randn({70, 520}), at::randn({32, 520}), at::randn({5, 520})};
  const Tensors weights = {at::randn({33, 520}), at::randn({1400, 520})};
  Tensors expected;
  Tensors to;
  for (const Tensor& a : x) {
    for (const Tensor& b : weights) {
      expected.push_back(product_of(a, b));
      to.push_back(at::zeros_like(expected.back()));
    }
  }
  const int before = at::get_num_threads();
  for (const int threads : {1, 3}) {
    at::set_num_threads(threads);
    multiply_split(x, weights, to, /*adds=*/false);
    for (std::size_t i = 0; i < to.size(); ++i) EXPECT_TRUE(to[i].equal(expected[i])) << i;
  }
  at::set_num_threads(before);
}

/// Infinities and what is no number, in either factor: as in fp32, and nothing else changes.
/// Depths of less and more than what is packed at a time, and more of them than are packed at once.
TEST_F(SplitProduct, ASumHasTheBitsOfProductsAddedUp) {
  for (const std::vector<std::int64_t>& depths :
       {std::vector<std::int64_t>{40, 300, 64}, {700, 256}, std::vector<std::int64_t>(7, 512)}) {
    Tensors x;
    Tensors weights;
    Tensor added = at::empty({70, 200});
    for (const std::int64_t depth : depths) {
      x.push_back(at::randn({70, depth}));
      weights.push_back(at::randn({depth, 200}).t());
      multiply_split(x.back(), weights.back(), added, /*adds=*/x.size() > 1);
    }
    Tensor sum = at::empty({70, 200});
    multiply_split_sum(x, weights, sum);
    EXPECT_TRUE(sum.equal(added));
  }
}

TEST_F(SplitProduct, ShowsInfinitiesAndWhatIsNoNumber) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = at::randn({70, 300});
  const Tensor weight = at::randn({65, 300});
  const Tensor before = product_of(x, weight);
  x[3][0] = kInfinity;
  x[40][299] = -kInfinity;
  x[41][7] = kNone;
  x[42][7] = kInfinity;
  x[42][8] = -kInfinity;
  weight[64][280] = kInfinity;
  weight[9][0] = 0;  // by the infinity above
  for (const Tensor& left : {x, x.t().contiguous().t()}) {
    const Tensor y = product_of(left, weight);
    const Tensor theirs = at::mm(x, weight.t());
    EXPECT_TRUE(y.isnan().equal(theirs.isnan()));
    EXPECT_TRUE(y.masked_fill(y.isfinite(), 0)
                    .nan_to_num(0, 1, -1)
                    .equal(theirs.masked_fill(theirs.isfinite(), 0).nan_to_num(0, 1, -1)));
    EXPECT_EQ(y.isinf().sum().item<std::int64_t>(), theirs.isinf().sum().item<std::int64_t>());
    Tensor to = at::ones_like(y);
    multiply_split(left, weight, to, /*adds=*/true);
    EXPECT_TRUE(to.isnan().equal(y.isnan()));
    EXPECT_TRUE(to.isinf().equal(y.isinf()));
    EXPECT_TRUE(
        y.narrow(0, 43, 27).narrow(1, 10, 54).equal(before.narrow(0, 43, 27).narrow(1, 10, 54)));
  }
}

}  // namespace
}  // namespace titan::kernels
