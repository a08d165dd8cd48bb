#include "titan/nn/attention.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "titan/nn/key_value_cache.h"
#include "titan/nn/rope.h"

namespace titan::nn {
namespace {

class AttentionTest : public ::testing::Test {
 protected:
  AttentionTest() {
    attention.to_empty(at::kCPU);
    attention.init_weights(0.02, at::make_generator<at::CPUGeneratorImpl>(1));
  }

  at::Tensor run(const at::Tensor& input, SequenceInfo sequence) {
    return attention({{input, table}, std::make_shared<const SequenceInfo>(std::move(sequence))})
        .at(0);
  }

  const c10::NoGradGuard no_grad;
  Attention attention{{16, 4, 2, at::kFloat}};
  at::Tensor table = precompute_freqs_cis(4, 32, 10000, {}, at::kCPU);
  at::Tensor x = at::rand({2, 8, 16});
};

TEST_F(AttentionTest, PositionsAreThoseOfTheTokens) {
  const at::Tensor plain = attention({{x, table}}).at(0);
  EXPECT_TRUE(run(x, {{}, at::arange(8, at::kLong), nullptr, {}}).equal(plain));
  // What counts is how far tokens are apart.
  EXPECT_TRUE(
      at::allclose(run(x, {{}, at::arange(5, 13, at::kLong), nullptr, {}}), plain, 1e-4, 1e-6));
  const at::Tensor by_row = at::stack({at::arange(8, at::kLong), at::arange(3, 11, at::kLong)});
  EXPECT_TRUE(at::allclose(run(x, {{}, by_row, nullptr, {}}), plain, 1e-4, 1e-6));
  EXPECT_FALSE(
      at::allclose(run(x, {{}, 2 * at::arange(8, at::kLong), nullptr, {}}), plain, 1e-4, 1e-6));
}

TEST_F(AttentionTest, TokensBehindACacheSeeWhatIsInIt) {
  const at::Tensor whole = attention({{x, table}}).at(0);
  const auto caches = std::make_shared<KeyValueCaches>(8);
  std::vector<at::Tensor> parts;
  for (const auto& [begin, end] : {std::pair{0, 3}, std::pair{3, 7}, std::pair{7, 8}}) {
    parts.push_back(run(x.slice(1, begin, end), {{}, {}, caches, {}}));
  }
  EXPECT_TRUE(at::allclose(at::cat(parts, 1), whole, 1e-4, 1e-6));
}

TEST(InnerAttentionTest, ValuesMayBeNarrowerThanQueries) {
  const at::Tensor query = at::rand({2, 3, 6, 8});
  const at::Tensor key = at::rand({2, 3, 6, 8});
  const at::Tensor value = at::rand({2, 3, 6, 5});
  const at::Tensor allowed = at::ones({1, 1, 6, 6}, at::kBool).tril();
  const at::Tensor scores = (query.matmul(key.transpose(2, 3)) * 0.3)
                                .masked_fill(allowed.logical_not(), -1e30)
                                .softmax(-1);
  const at::Tensor expected = scores.matmul(value).transpose(1, 2);
  InnerAttention attention(0.3);
  const auto run = [&](const AttentionMask& mask) {
    return attention({{query, key, value},
                      std::make_shared<const SequenceInfo>(SequenceInfo{mask, {}, nullptr, {}})})
        .at(0);
  };
  EXPECT_TRUE(at::allclose(run(CausalMask{}), expected, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(run(AllowedMask{allowed}), expected, 1e-5, 1e-6));
  EXPECT_TRUE(run(AllowedMask{allowed}).is_contiguous());
}

}  // namespace
}  // namespace titan::nn
