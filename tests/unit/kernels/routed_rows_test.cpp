#include "titan/kernels/routed_rows.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randperm.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "support/kernel_twin.h"
#include "titan/base/errors.h"

namespace titan::kernels {
namespace {

using at::Tensor;

constexpr std::int64_t kTokens = 37;
constexpr std::int64_t kTopK = 3;
constexpr std::int64_t kDim = 45;
constexpr double kBound = 1e-6;  // sums of a few terms: a few roundings of the largest

/// All rows, and those of some places alone, as ranks have them that share the tokens.
class RoutedRows : public testing::TestWithParam<std::int64_t> {
 protected:
  RoutedRows() { at::manual_seed(3); }

  std::int64_t count = GetParam();
  Tensor order = at::randperm(kTokens * kTopK, at::kLong).narrow(0, 0, count);
  Tensor scores = at::rand({kTokens, kTopK});
};

TEST_P(RoutedRows, AreGathered) {
  const Tensors inputs = {at::randn({kTokens, kDim}), scores};
  const auto chosen = [&](const Tensor& x) { return x.index_select(0, order.floor_divide(kTopK)); };
  expect_like([&](const Tensors& of) { return gather_rows(of[0], order, of[1], kTopK); },
              [&](const Tensors& of) {
                return chosen(of[0]) * of[1].flatten().index_select(0, order).unsqueeze(1);
              },
              inputs, at::randn({count, kDim}), kBound);
  expect_like([&](const Tensors& of) { return gather_rows(of[0], order, {}, kTopK); },
              [&](const Tensors& of) { return chosen(of[0]); }, {inputs[0]},
              at::randn({count, kDim}), kBound);
}

TEST_P(RoutedRows, AreCombined) {
  const Tensors inputs = {at::randn({count, kDim}), scores};
  const auto by_token = [&](const Tensor& rows) {
    return at::zeros({kTokens * kTopK, kDim}, rows.options())
        .index_copy(0, order, rows)
        .view({kTokens, kTopK, kDim});
  };
  expect_like(
      [&](const Tensors& of) { return combine_rows(of[0], order, of[1], kTokens, kTopK); },
      [&](const Tensors& of) { return at::bmm(of[1].unsqueeze(1), by_token(of[0])).squeeze(1); },
      inputs, at::randn({kTokens, kDim}), kBound);
  expect_like([&](const Tensors& of) { return combine_rows(of[0], order, {}, kTokens, kTopK); },
              [&](const Tensors& of) { return by_token(of[0]).sum(1); }, {inputs[0]},
              at::randn({kTokens, kDim}), kBound);
}

INSTANTIATE_TEST_SUITE_P(Counts, RoutedRows, testing::Values(kTokens* kTopK, 40, 1));

TEST(RoutedRowsOrder, NamesPlacesThatThereAre) {
  const Tensor order = at::zeros({1}, at::kLong).fill_(kTokens * kTopK);
  EXPECT_THROW(combine_rows(at::randn({1, kDim}), order, {}, kTokens, kTopK), InternalError);
}

}  // namespace
}  // namespace titan::kernels
