#include "titan/components/loss/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "titan/protocols/data_loader.h"

namespace titan::components {
namespace {

TEST(CrossEntropyLoss, IsTheSumOverValidTokens) {
  const at::Tensor logits = at::rand({2, 3, 7});
  const std::vector<std::int64_t> ids = {0, 6, protocols::kIgnoreIndex, 3, protocols::kIgnoreIndex,
                                         2};
  const at::Tensor labels = at::tensor(ids).view({2, 3});
  const at::Tensor log_probabilities = at::log_softmax(logits, 2);
  double expected = 0;
  for (const auto& [row, column, label] :
       {std::tuple{0, 0, 0}, std::tuple{0, 1, 6}, std::tuple{1, 0, 3}, std::tuple{1, 2, 2}}) {
    expected -= log_probabilities[row][column][label].item<double>();
  }
  EXPECT_NEAR(components::cross_entropy_loss(logits, labels).item<double>(), expected, 1e-5);
}

TEST(CrossEntropyLoss, OfNoValidTokenIsZero) {
  EXPECT_EQ(components::cross_entropy_loss(at::rand({1, 2, 3}),
                                           at::full({1, 2}, protocols::kIgnoreIndex, at::kLong))
                .item<double>(),
            0);
}

TEST(CrossEntropyLoss, IsComputedInFullPrecision) {
  const at::Tensor logits = at::rand({1, 2, 3}).to(at::kBFloat16);
  EXPECT_EQ(components::cross_entropy_loss(logits, at::full({1, 2}, 1, at::kLong)).scalar_type(),
            at::kFloat);
}

}  // namespace
}  // namespace titan::components
