#include "titan/kernels/experts.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "support/kernel_twin.h"
#include "titan/base/errors.h"
#include "titan/kernels/products.h"

namespace titan::kernels {
namespace {

using at::Tensor;
using Counts = std::vector<std::int64_t>;

// Of rows, gate, down, up.

Tensor fast(const Tensors& of, const Counts& counts) {
  return experts(of[0], {of[1], of[2], of[3]}, at::tensor(counts, at::kLong));
}

/// One expert after the other by LibTorch's operators.
Tensor reference(const Tensors& of, const Counts& counts) {
  Tensors parts;
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto of_expert = [&](const Tensor& all) {
      return all.select(0, static_cast<std::int64_t>(i));
    };
    const Tensor x = of[0].narrow(0, begin, counts[i]);
    const Tensor hidden =
        at::silu(at::linear(x, of_expert(of[1]))) * at::linear(x, of_expert(of[3]));
    parts.push_back(at::linear(hidden, of_expert(of[2])));
    begin += counts[i];
  }
  return at::cat(parts);
}

class Experts : public testing::TestWithParam<Counts> {};

TEST_P(Experts, AreThoseOfTheLoopAndHaveTheSameBitsOnAnyNumberOfThreads) {
  at::manual_seed(1);
  const Counts& counts = GetParam();
  const auto experts = static_cast<std::int64_t>(counts.size());
  const std::int64_t rows = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  constexpr std::int64_t kDim = 40;
  constexpr std::int64_t kHidden = 72;
  const Tensors inputs = {at::randn({rows, kDim}), at::randn({experts, kHidden, kDim}),
                          at::randn({experts, kDim, kHidden}), at::randn({experts, kHidden, kDim})};
  const Tensor gradient = at::randn({rows, kDim});
  const auto ours = [&](const Tensors& of) { return fast(of, counts); };
  for (const Products choice : {Products::kBlas, Products::kOneDnn, Products::kSplit}) {
    if (!can_multiply(choice)) continue;
    const ProductsScope scope(choice);
    if (rows > 0) {
      expect_like(
          ours, [&](const Tensors& of) { return reference(of, counts); }, inputs, gradient, 5e-6);
    }
    const Tensors results = differentiate(ours, inputs, gradient);
    for (std::size_t expert = 0; expert < counts.size(); ++expert) {
      if (counts[expert] > 0) continue;
      for (std::size_t i = 2; i < results.size(); ++i) {
        EXPECT_EQ(results[i][static_cast<std::int64_t>(expert)].abs().max().item<double>(), 0);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Counts, Experts,
                         testing::Values(Counts{16, 8, 24, 64}, Counts{1, 0, 7, 33},
                                         Counts{0, 0, 100, 0}, Counts{0, 0}, Counts{5}));

TEST(ExpertsTest, CountsAreThoseOfTheRows) {
  const Tensors inputs = {at::randn({7, 4}), at::randn({2, 3, 4}), at::randn({2, 4, 3}),
                          at::randn({2, 3, 4})};
  EXPECT_THROW(fast(inputs, {3, 3}), InternalError);
  EXPECT_THROW(fast(inputs, {3, 5}), InternalError);
}

}  // namespace
}  // namespace titan::kernels
