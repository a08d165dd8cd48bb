// Products by group against one product after the other, which autograd differentiates.
#include "titan/nn/moe/grouped_product.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <numeric>

#include "titan/base/errors.h"

namespace titan::nn {
namespace {

using Counts = std::vector<std::int64_t>;

struct Results {
  at::Tensor output;
  at::Tensor rows_gradient;
  at::Tensor weights_gradient;
};

/// The reference's for-loop.
at::Tensor for_loop(const at::Tensor& rows, const at::Tensor& weights, const Counts& counts) {
  const std::vector<at::Tensor> matrices = weights.unbind();
  std::vector<at::Tensor> outputs;
  std::int64_t begin = 0;
  for (std::size_t group = 0; group < counts.size(); ++group) {
    outputs.push_back(
        at::matmul(rows.narrow(0, begin, counts[group]), matrices[group].transpose(-2, -1)));
    begin += counts[group];
  }
  return at::cat(outputs);
}

template <class Product>
Results run(const Counts& counts, at::ScalarType type, const Product& product) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
  const std::int64_t rows = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  const auto groups = static_cast<std::int64_t>(counts.size());
  const auto draw = [&](at::IntArrayRef sizes) {
    return at::randn(sizes, generator, at::TensorOptions()).to(type);
  };
  const at::Tensor x = draw({rows, 24}).set_requires_grad(true);
  const at::Tensor weights = draw({groups, 40, 24}).set_requires_grad(true);
  const at::Tensor output = product(x, weights);
  output.backward(draw({rows, 40}));
  return {output, x.grad(), weights.grad()};
}

void expect_same(const at::Tensor& a, const at::Tensor& b, const char* what) {
  EXPECT_EQ(a.sizes(), b.sizes()) << what;
  EXPECT_TRUE(a.equal(b)) << what << " differ by " << (a - b).abs().max();
}

class GroupedProductTest : public ::testing::TestWithParam<std::tuple<Counts, at::ScalarType>> {};

TEST_P(GroupedProductTest, HasTheBitsOfSingleProducts) {
  const auto& [counts, type] = GetParam();
  const Results grouped = run(counts, type, [&](const at::Tensor& rows, const at::Tensor& weights) {
    return grouped_product(rows, weights, at::tensor(counts, at::kLong));
  });
  const Results single = run(counts, type, [&](const at::Tensor& rows, const at::Tensor& weights) {
    return for_loop(rows, weights, counts);
  });
  expect_same(grouped.output, single.output, "outputs");
  expect_same(grouped.rows_gradient, single.rows_gradient, "gradients of rows");
  expect_same(grouped.weights_gradient, single.weights_gradient, "gradients of weights");
}

INSTANTIATE_TEST_SUITE_P(
    Counts, GroupedProductTest,
    ::testing::Combine(::testing::Values(Counts{5, 3, 8, 1}, Counts{0, 7, 0, 0, 9, 0},
                                         Counts{0, 0, 33}, Counts{0, 0, 0}, Counts{1, 1, 1, 1, 1},
                                         Counts{64}),
                       ::testing::Values(at::kFloat, at::kDouble, at::kBFloat16)));

TEST(GroupedProduct, CountsAreThoseOfTheRows) {
  const at::Tensor rows = at::randn({5, 4});
  const at::Tensor weights = at::randn({2, 3, 4});
  EXPECT_THROW(grouped_product(rows, weights, at::tensor({3, 1}, at::kLong)), InternalError);
}

TEST(GroupedProduct, ComputesInTheTypeOfAutocast) {
  const at::Tensor rows = at::randn({5, 8}).set_requires_grad(true);
  const at::Tensor weights = at::randn({2, 3, 8}).set_requires_grad(true);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const at::Tensor output = grouped_product(rows, weights, at::tensor({3, 2}, at::kLong));
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  EXPECT_EQ(output.scalar_type(), at::kBFloat16);
  output.sum().backward();
  EXPECT_EQ(weights.grad().scalar_type(), at::kFloat);
  EXPECT_GT(weights.grad().abs().min().item<float>(), 0);
}

}  // namespace
}  // namespace titan::nn
