#include "titan/components/loss/vocabulary_parallel_loss.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "support/local_ranks.h"
#include "titan/components/loss/loss.h"
#include "titan/nn/chunk.h"
#include "titan/protocols/data_loader.h"

namespace titan::components {
namespace {

constexpr std::int64_t kRanks = 4;

struct Example {
  at::Tensor logits;  // [B, S, V]
  at::Tensor labels;
};

/// Some labels are not trained on.
Example example(std::int64_t vocab_size, at::ScalarType dtype = at::kFloat) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  Example result{(at::randn({3, 5, vocab_size}, generator, at::kFloat) * 4).to(dtype),
                 at::randint(vocab_size, {3, 5}, generator, at::kLong)};
  result.labels[0].slice(0, 1, 3).fill_(protocols::kIgnoreIndex);
  result.labels[2].fill_(protocols::kIgnoreIndex);
  return result;
}

at::Tensor part_of(const at::Tensor& logits, std::int64_t rank) {
  const nn::Chunk chunk = nn::chunk_of(logits.size(2), kRanks, rank);
  return logits.narrow(2, chunk.offset, chunk.length).clone();
}

/// The loss, scaled by 0.25, and its gradient for the whole logits.
std::pair<double, at::Tensor> in_parts(const Example& example) {
  std::array<double, kRanks> losses{};
  std::array<at::Tensor, kRanks> gradients;
  test::on_local_ranks({1, 1, 1, kRanks}, kRanks, [&](const comm::RankContext& context) {
    const auto rank = static_cast<std::size_t>(context.rank);
    const at::Tensor mine = part_of(example.logits, context.rank).requires_grad_();
    const at::Tensor loss = vocabulary_parallel_cross_entropy_loss(
        mine, example.labels, example.logits.size(2), context.group(mesh::MeshDim::kTp));
    EXPECT_EQ(loss.scalar_type(), at::kFloat);
    (loss * 0.25).backward();
    losses[rank] = loss.item<double>();
    gradients[rank] = mine.grad();
  });
  EXPECT_THAT(losses, testing::Each(testing::NanSensitiveDoubleEq(losses[0])));
  return {losses[0], at::cat(gradients, 2)};
}

void expect_that_of_one_rank(const Example& example, double tolerance) {
  const auto [loss, gradient] = in_parts(example);
  const at::Tensor whole = example.logits.clone().requires_grad_();
  const at::Tensor expected = components::cross_entropy_loss(whole, example.labels);
  (expected * 0.25).backward();
  EXPECT_NEAR(loss, expected.item<double>(), tolerance * expected.item<double>());
  EXPECT_EQ(gradient.scalar_type(), example.logits.scalar_type());
  EXPECT_TRUE(at::allclose(gradient, whole.grad(), tolerance, tolerance * 0.1));
}

TEST(VocabularyParallelLoss, IsThatOfOneRank) { expect_that_of_one_rank(example(24), 1e-6); }

TEST(VocabularyParallelLoss, VocabulariesNeedNotDivide) {
  expect_that_of_one_rank(example(23), 1e-6);
  expect_that_of_one_rank(example(5), 1e-6);  // the last rank has nothing of it
}

TEST(VocabularyParallelLoss, IsComputedInFullPrecision) {
  expect_that_of_one_rank(example(24, at::kBFloat16), 4e-3);
  EXPECT_EQ(in_parts(example(24, at::kBFloat16)).first,
            in_parts({example(24, at::kBFloat16).logits.to(at::kFloat), example(24).labels}).first);
}

TEST(VocabularyParallelLoss, LargeLogitsDoNotOverflow) {
  Example large = example(24);
  large.logits.mul_(1e4);
  const auto [loss, gradient] = in_parts(large);
  const at::Tensor expected = components::cross_entropy_loss(large.logits, large.labels);
  EXPECT_NEAR(loss, expected.item<double>(), 1e-6 * expected.item<double>());
  EXPECT_TRUE(gradient.isfinite().all().item<bool>());
}

TEST(VocabularyParallelLoss, OfNoValidTokenIsZero) {
  Example none = example(24);
  none.labels.fill_(protocols::kIgnoreIndex);
  const auto [loss, gradient] = in_parts(none);
  EXPECT_EQ(loss, 0);
  EXPECT_EQ(gradient.abs().max().item<float>(), 0);
}

TEST(VocabularyParallelLoss, NonfiniteLogitsAreSeen) {
  Example bad = example(24);
  bad.logits[0][0][20] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(in_parts(bad).first));
}

}  // namespace
}  // namespace titan::components
