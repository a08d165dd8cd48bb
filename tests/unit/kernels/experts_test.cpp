#include "titan/kernels/experts.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <vector>

#include "titan/base/errors.h"
#include "titan/kernels/products.h"

namespace titan::kernels {
namespace {

using at::Tensor;
using Counts = std::vector<std::int64_t>;
using Tensors = std::vector<Tensor>;  // rows, gate, down, up
using Function = std::function<Tensor(const Tensors&, const Counts&)>;

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

/// The result, and the gradients by all four.
Tensors differentiate(const Function& function, const Tensors& inputs, const Counts& counts,
                      const Tensor& gradient) {
  Tensors leaves;
  for (const Tensor& x : inputs) leaves.push_back(x.detach().clone().set_requires_grad(true));
  const Tensor result = function(leaves, counts);
  result.backward(gradient.to(result.scalar_type()));
  Tensors all = {result.detach()};
  for (const Tensor& leaf : leaves) all.push_back(leaf.grad());
  return all;
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
  Tensors doubles;
  for (const Tensor& x : inputs) doubles.push_back(x.to(at::kDouble));
  const Tensors expected = differentiate(reference, doubles, counts, gradient);
  const int threads = at::get_num_threads();
  for (const Products choice : {Products::kBlas, Products::kOneDnn, Products::kSplit}) {
    if (!can_multiply(choice)) continue;
    const ProductsScope scope(choice);
    at::set_num_threads(1);
    const Tensors results = differentiate(fast, inputs, counts, gradient);
    at::set_num_threads(3);
    const Tensors again = differentiate(fast, inputs, counts, gradient);
    at::set_num_threads(threads);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(again[i].equal(results[i])) << i;
      if (rows == 0) continue;
      const double off = (results[i].to(at::kDouble) - expected[i]).abs().max().item<double>();
      EXPECT_LT(off, 5e-6 * expected[i].abs().max().item<double>()) << i;
    }
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
