// Attention of texts that ranks share, against the attention of one rank that has all of them.
#include "titan/parallel/context_parallel.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <mutex>

#include "support/local_ranks.h"
#include "support/memory_ranks.h"
#include "titan/autograd/dispatch_mode.h"
#include "titan/base/errors.h"
#include "titan/config/distributed.h"
#include "titan/nn/attention.h"
#include "titan/nn/attention_masks.h"

namespace titan::parallel {
namespace {

using config::LoadBalancer;
using config::RotateMethod;

constexpr std::int64_t kLength = 48;
constexpr std::int64_t kWidth = 8;

struct Case {
  std::int64_t ranks = 2;
  bool head_tail = true;
  RotateMethod rotation = RotateMethod::kAllGather;
  bool documents = false;
  std::int64_t rows = 2;
  std::int64_t heads = 4;
  std::int64_t key_heads = 2;
  std::int64_t value_width = kWidth;
  std::optional<double> scale = std::nullopt;
};

config::Parallelism options_of(const Case& test) {
  config::Parallelism options;
  options.context_parallel_degree = test.ranks;
  options.context_parallel_rotate_method = test.rotation;
  options.context_parallel_load_balancer =
      test.head_tail ? std::optional(LoadBalancer::kHeadTail) : std::nullopt;
  return options;
}

mesh::Degrees degrees_of(const Case& test) { return {.dp_shard = 1, .cp = test.ranks}; }

/// A layer that holds what context parallelism is attached to.
class Block : public nn::Module {
 public:
  explicit Block(std::optional<double> scale = std::nullopt)
      : attention_(add_child("attention", std::make_unique<nn::InnerAttention>(scale))) {}
  void take_fast_path() { attention_->take_fast_path(); }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override { return (*attention_)(inputs); }

 private:
  nn::InnerAttention* attention_;
};

at::Tensor numbers(const Case& test, std::int64_t heads, std::int64_t width, std::uint64_t seed) {
  return at::randn({test.rows, heads, kLength, width},
                   at::make_generator<at::CPUGeneratorImpl>(seed), at::kDouble);
}

/// Query, key, value.
nn::Tensors inputs_of(const Case& test) {
  return {numbers(test, test.heads, kWidth, 1), numbers(test, test.key_heads, kWidth, 2),
          numbers(test, test.key_heads, test.value_width, 3)};
}

/// What is seen of everything: bool `[B, 1, S, S]`.
at::Tensor allowed_of(const Case& test) {
  at::Tensor starts = at::randint(0, 8, {test.rows, kLength},
                                  at::make_generator<at::CPUGeneratorImpl>(5), at::kLong) == 0;
  if (!test.documents) starts = at::zeros_like(starts);
  return nn::block_causal_mask(nn::documents_by_starts(starts)).allowed;
}

/// Output `[B, S, H, d]`, and the gradients of query, key and value for a given one of it.
nn::Tensors with_gradients(const std::function<at::Tensor(const nn::Tensors&)>& attend,
                           const nn::Tensors& inputs, const at::Tensor& gradient) {
  nn::Tensors leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.clone().requires_grad_());
  nn::Tensors results = {attend(leaves)};
  results[0].backward(gradient);
  for (const at::Tensor& leaf : leaves) results.push_back(leaf.grad());
  results[0] = results[0].detach();
  return results;
}

at::Tensor gradient_of_output(const Case& test) {
  return numbers(test, test.heads, test.value_width, 4).transpose(1, 2).contiguous();
}

/// By the definition.
nn::Tensors plain(const Case& test) {
  const auto attend = [&](const nn::Tensors& in) {
    const std::int64_t sharing = test.heads / test.key_heads;
    const at::Tensor key = in[1].repeat_interleave(sharing, 1);
    const at::Tensor value = in[2].repeat_interleave(sharing, 1);
    const double scale = test.scale.value_or(1 / std::sqrt(static_cast<double>(kWidth)));
    const at::Tensor scores = at::matmul(in[0], key.transpose(2, 3)) * scale;
    const at::Tensor seen = scores.masked_fill(allowed_of(test).logical_not(),
                                               -std::numeric_limits<double>::infinity());
    return at::matmul(at::softmax(seen, -1), value).transpose(1, 2);
  };
  return with_gradients(attend, inputs_of(test), gradient_of_output(test));
}

/// What a rank has of it.
nn::Tensors of_rank(const Case& test, const comm::RankContext& context,
                    at::ScalarType type = at::kDouble, bool fast = false) {
  const config::Parallelism options = options_of(test);
  const TextCut cut = text_cut(context, options);
  Block block(test.scale);
  if (fast) block.take_fast_path();
  apply_context_parallel(block, "attention", context, options);
  const auto sequence = cut.sequence(kLength, at::kCPU);
  if (test.documents) {
    sequence->mask = nn::AllowedMask{cut.in_rank_order(cut.part_of(allowed_of(test), 2), 3)};
  }
  nn::Tensors parts;
  for (const at::Tensor& whole : inputs_of(test)) parts.push_back(cut.part_of(whole, 2).to(type));
  return with_gradients(
      [&](const nn::Tensors& in) {
        return block({in, sequence}).at(0);
      },
      parts, cut.part_of(gradient_of_output(test), 1).to(type));
}

void expect_near(const at::Tensor& actual, const at::Tensor& expected, double error,
                 const char* what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  EXPECT_LT((actual.to(at::kDouble) - expected).abs().max().item<double>(), error) << what;
}

void expect_parts(const nn::Tensors& actual, const nn::Tensors& whole, const TextCut& cut,
                  double error) {
  constexpr const char* kNames[] = {"output", "query", "key", "value"};
  for (std::size_t i = 0; i < whole.size(); ++i) {
    expect_near(actual[i], cut.part_of(whole[i], i == 0 ? 1 : 2), error, kNames[i]);
  }
}

class ContextParallel : public ::testing::TestWithParam<Case> {};

TEST_P(ContextParallel, AttendsAsOneRank) {
  const nn::Tensors expected = plain(GetParam());
  test::on_local_ranks(degrees_of(GetParam()), GetParam().ranks,
                       [&](const comm::RankContext& context) {
                         const TextCut cut = text_cut(context, options_of(GetParam()));
                         const nn::Tensors actual = of_rank(GetParam(), context);
                         EXPECT_TRUE(actual[0].is_contiguous());
                         expect_parts(actual, expected, cut, 1e-12);
                         // Twice the same bits.
                         const nn::Tensors again = of_rank(GetParam(), context);
                         for (std::size_t i = 0; i < actual.size(); ++i)
                           EXPECT_TRUE(again[i].equal(actual[i]));
                       });
}

/// On our own kernels, in fp32: sums of 48 terms of entries up to 4, each rounded by 2⁻²⁴ of itself.
TEST_P(ContextParallel, FastPathsAttendAsOneRank) {
  const nn::Tensors expected = plain(GetParam());
  test::on_local_ranks(
      degrees_of(GetParam()), GetParam().ranks, [&](const comm::RankContext& context) {
        const TextCut cut = text_cut(context, options_of(GetParam()));
        const nn::Tensors actual = of_rank(GetParam(), context, at::kFloat, /*fast=*/true);
        EXPECT_TRUE(actual[0].is_contiguous());
        expect_parts(actual, expected, cut, 2e-5);
        const nn::Tensors again = of_rank(GetParam(), context, at::kFloat, /*fast=*/true);
        for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(again[i].equal(actual[i]));
      });
}

/// Ranks that read each other's keys where they lie have the bits of those that copy them.
TEST(ContextParallelMemory, SharedMemoryMakesNoDifference) {
  for (const std::int64_t ranks : {2, 3}) {
    for (const RotateMethod rotation : {RotateMethod::kAllGather, RotateMethod::kAllToAll}) {
      for (const bool fast : {false, true}) {
        const Case test{.ranks = ranks, .rotation = rotation, .value_width = 4};
        std::vector<nn::Tensors> expected(static_cast<std::size_t>(ranks));
        test::on_local_ranks(degrees_of(test), ranks, [&](const comm::RankContext& context) {
          expected[static_cast<std::size_t>(context.rank)] =
              of_rank(test, context, at::kFloat, fast);
        });
        test::on_memory_ranks(degrees_of(test), ranks, [&](const comm::RankContext& context) {
          ASSERT_TRUE(context.group(mesh::MeshDim::kCp).shares_memory());
          const auto& those = expected[static_cast<std::size_t>(context.rank)];
          for (int round = 0; round < 2; ++round) {
            const nn::Tensors actual = of_rank(test, context, at::kFloat, fast);
            for (std::size_t i = 0; i < those.size(); ++i) EXPECT_TRUE(actual[i].equal(those[i]));
          }
        });
      }
    }
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> result;
  for (const std::int64_t ranks : {2, 3, 4}) {
    for (const bool head_tail : {true, false}) {
      for (const RotateMethod rotation : {RotateMethod::kAllGather, RotateMethod::kAllToAll}) {
        for (const bool documents : {false, true}) {
          result.push_back({ranks, head_tail, rotation, documents});
        }
      }
    }
  }
  result.push_back({.rows = 1, .heads = 3, .key_heads = 3});
  for (const RotateMethod rotation : {RotateMethod::kAllGather, RotateMethod::kAllToAll}) {
    for (const bool documents : {false, true}) {
      result.push_back({.ranks = 3,
                        .rotation = rotation,
                        .documents = documents,
                        .value_width = 5,
                        .scale = 0.6});
    }
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(Layouts, ContextParallel, ::testing::ValuesIn(all_cases()),
                         [](const auto& test) {
                           const Case& c = test.param;
                           return titan::concat(
                               c.ranks, c.head_tail ? "_head_tail" : "_in_turn",
                               c.rotation == RotateMethod::kAllGather ? "_allgather" : "_alltoall",
                               c.documents ? "_documents" : "",
                               c.heads == c.key_heads ? "_ungrouped" : "",
                               c.value_width != kWidth ? "_narrow_values" : "");
                         });

TEST(ContextParallelTypes, HalfTypesAreMergedInSinglePrecision) {
  const Case test{.ranks = 4};
  const nn::Tensors expected = plain(test);
  test::on_local_ranks(degrees_of(test), test.ranks, [&](const comm::RankContext& context) {
    for (const bool fast : {false, true}) {
      const nn::Tensors actual = of_rank(test, context, at::kBFloat16, fast);
      for (const at::Tensor& tensor : actual) EXPECT_EQ(tensor.scalar_type(), at::kBFloat16);
      // A bfloat16 has 8 bits: what is rounded once is off by 2⁻⁹ of entries up to 8.
      expect_parts(actual, expected, text_cut(context, options_of(test)), 0.06);
    }
  });
}

TEST(ContextParallelSequences, WhoHasAWholeTextAttendsAlone) {
  const Case test;
  const nn::Tensors inputs = inputs_of(test);
  const at::Tensor expected = nn::InnerAttention()({inputs}).at(0);
  test::on_local_ranks(degrees_of(test), test.ranks, [&](const comm::RankContext& context) {
    Block block;
    apply_context_parallel(block, "attention", context, options_of(test));
    if (context.rank == 0) {
      EXPECT_TRUE(block({inputs}).at(0).equal(expected));
      EXPECT_TRUE(block({inputs, std::make_shared<nn::SequenceInfo>()}).at(0).equal(expected));
    }
  });
}

/// Notes the operators that it sees.
class Names : public autograd::DispatchMode {
 public:
  void call(const c10::OperatorHandle& op, torch::jit::Stack*,
            const std::function<void()>& compute) override {
    seen.push_back(op.operator_name().name);
    compute();
  }
  std::vector<std::string> seen;
};

TEST(ContextParallelOperators, TheRingIsOneOperator) {
  const Case test;
  test::on_local_ranks(degrees_of(test), test.ranks, [&](const comm::RankContext& context) {
    Names names;
    {
      const autograd::DispatchModeScope scope(names);
      of_rank(test, context);
    }
    EXPECT_EQ(std::ranges::count(names.seen, "titan::ring_attention"), 1);
    // Backward makes two blocks.
    EXPECT_EQ(std::ranges::count(names.seen, "aten::_scaled_dot_product_flash_attention_for_cpu"),
              0);
    EXPECT_EQ(std::ranges::count(names.seen,
                                 "aten::_scaled_dot_product_flash_attention_for_cpu_backward"),
              2);
  });
}

TEST(ContextParallelOperators, FastPathsAreOurKernels) {
  const Case test;
  test::on_local_ranks(degrees_of(test), test.ranks, [&](const comm::RankContext& context) {
    for (const bool fast : {false, true}) {
      Names names;
      {
        const autograd::DispatchModeScope scope(names);
        of_rank(test, context, at::kFloat, fast);
      }
      const auto count = [&](const char* name) { return std::ranges::count(names.seen, name); };
      EXPECT_EQ(count("titan_kernels::attention_backward"), fast ? 2 : 0);
      EXPECT_EQ(count("aten::_scaled_dot_product_flash_attention_for_cpu_backward"), fast ? 0 : 2);
    }
  });
}

TEST(TextCuts, PiecesAreThoseOfTheReference) {
  const at::Tensor text = at::arange(12, at::kLong).unsqueeze(0);
  const auto part = [&](const TextCut& cut) {
    const at::Tensor tokens = cut.part_of(text, 1).contiguous();
    return std::vector<std::int64_t>(tokens.const_data_ptr<std::int64_t>(),
                                     tokens.const_data_ptr<std::int64_t>() + tokens.numel());
  };
  using testing::ElementsAre;
  EXPECT_THAT(part({3, 0, true}), ElementsAre(0, 1, 10, 11));
  EXPECT_THAT(part({3, 1, true}), ElementsAre(2, 3, 8, 9));
  EXPECT_THAT(part({3, 2, true}), ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(part({3, 1, false}), ElementsAre(4, 5, 6, 7));
  EXPECT_TRUE(TextCut().part_of(text, 1).is_same(text));
  const TextCut cut{3, 1, true};
  const at::Tensor ordered = cut.in_rank_order(text, 1);
  EXPECT_TRUE(ordered.narrow(1, 4, 4).equal(cut.part_of(text, 1)));
  EXPECT_EQ(ordered.sum().item<std::int64_t>(), 66);
}

TEST(TextCuts, ASequenceSaysWhichTokensItHasAndWhichTheOthersHave) {
  EXPECT_FALSE(TextCut().sequence(12, at::kCPU)->is_part());
  const TextCut cut{3, 1, true};
  const auto sequence = cut.sequence(12, at::kCPU);
  ASSERT_TRUE(sequence->is_part());
  const at::Tensor text = at::arange(12, at::kLong);
  EXPECT_TRUE(sequence->positions.equal(cut.part_of(text, 0)));
  EXPECT_TRUE(sequence->key_positions.equal(cut.in_rank_order(text, 0)));
}

}  // namespace
}  // namespace titan::parallel
