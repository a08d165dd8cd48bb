#include "titan/comm/overlapped_products.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "support/local_ranks.h"
#include "support/throws.h"
#include "titan/autograd/dispatch_mode.h"
#include "titan/base/errors.h"
#include "titan/comm/autograd_collectives.h"
#include "titan/kernels/products.h"

namespace titan::comm {
namespace {

using Tensors = std::vector<at::Tensor>;

at::Tensor numbers(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kDouble);
}

/// Ranks, and where the tensors are cut.
struct Case {
  std::int64_t ranks;
  std::int64_t dim;
};

class OverlappedProducts : public ::testing::TestWithParam<Case> {
 protected:
  void on_ranks(const std::function<void(std::int64_t, ProcessGroup&)>& body) {
    test::on_local_ranks({1, GetParam().ranks}, GetParam().ranks, [&](const RankContext& context) {
      body(context.rank, context.groups->world());
    });
  }
};

/// What a function makes of its inputs: results, and the inputs' gradients for given ones of the results.
Tensors with_gradients(const std::function<Tensors(const Tensors&)>& function,
                       const Tensors& inputs) {
  Tensors leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.clone().requires_grad_());
  Tensors results = function(leaves);
  at::Tensor sum;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const at::Tensor weighted = (results[i] * numbers(results[i].sizes(), 100 + i)).sum();
    sum = sum.defined() ? sum + weighted : weighted;
  }
  sum.backward();
  for (const at::Tensor& leaf : leaves) results.push_back(leaf.grad());
  for (at::Tensor& result : results) result = result.detach();
  return results;
}

void expect_equal(const Tensors& actual, const Tensors& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(at::allclose(actual[i], expected[i])) << i;
  }
}

TEST_P(OverlappedProducts, GatherAndMultiply) {
  on_ranks([&](std::int64_t rank, ProcessGroup& group) {
    const Tensors inputs = {numbers({2, 6, 5}, 1 + rank), numbers({4, 5}, 10 + rank),
                            numbers({3, 5}, 20 + rank), numbers({0, 5}, 30)};
    const auto after = [&](const Tensors& in) {
      const at::Tensor whole = all_gather(in[0], GetParam().dim, group);
      return Tensors{at::linear(whole, in[1]), at::linear(whole, in[2]), at::linear(whole, in[3]),
                     whole * 2};
    };
    const auto meanwhile = [&](const Tensors& in) {
      auto [whole, products] =
          all_gather_linear(in[0], {in[1], in[2], in[3]}, GetParam().dim, group);
      products.push_back(whole * 2);
      return products;
    };
    expect_equal(with_gradients(meanwhile, inputs), with_gradients(after, inputs));
  });
}

TEST_P(OverlappedProducts, MultiplyAndScatter) {
  on_ranks([&](std::int64_t rank, ProcessGroup& group) {
    const Tensors inputs = {numbers({12, 12, 5}, 1 + rank), numbers({4, 5}, 10 + rank)};
    const auto behind = [&](const Tensors& in) {
      return Tensors{reduce_scatter(at::linear(in[0], in[1]), GetParam().dim, group)};
    };
    const auto meanwhile = [&](const Tensors& in) {
      return Tensors{linear_reduce_scatter(in[0], in[1], GetParam().dim, group)};
    };
    expect_equal(with_gradients(meanwhile, inputs), with_gradients(behind, inputs));
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, OverlappedProducts,
                         ::testing::Values(Case{1, 1}, Case{2, 0}, Case{2, 1}, Case{3, 1},
                                           Case{4, 1}));

/// The names of operators that it sees.
class Names : public autograd::DispatchMode {
 public:
  void call(const c10::OperatorHandle& op, torch::jit::Stack*,
            const std::function<void()>& compute) override {
    ++seen[op.operator_name().name];
    compute();
  }
  std::map<std::string, int> seen;
};

/// By whichever library, products on the fast path are those in double precision but for rounding: sums of 64 products of
/// numbers up to 4, in fp32.
TEST(OverlappedProduct, FastPathsAreKernelsProducts) {
  using kernels::Products;
  for (const Products choice : {Products::kBlas, Products::kOneDnn, Products::kSplit}) {
    if (!kernels::can_multiply(choice)) continue;
    const kernels::ProductsScope scope(choice);
    test::on_local_ranks({1, 2}, 2, [&](const RankContext& context) {
      ProcessGroup& group = context.groups->world();
      const auto rank = static_cast<std::uint64_t>(context.rank);
      const Tensors inputs = {numbers({1, 48, 64}, 1 + rank), numbers({96, 64}, 10 + rank),
                              numbers({64, 96}, 20 + rank)};
      const auto chain = [&](bool fast) {
        return [&group, fast](const Tensors& in) {
          const at::Tensor middle =
              all_gather_linear(in[0], {in[1]}, 1, group, fast).products[0] * 0.125;
          return Tensors{middle, linear_reduce_scatter(middle, in[2], 1, group, fast)};
        };
      };
      Tensors floats;
      for (const at::Tensor& input : inputs) floats.push_back(input.to(at::kFloat));
      Names names;
      const Tensors actual = [&] {
        const autograd::DispatchModeScope watching(names);
        return with_gradients(chain(true), floats);
      }();
      const Tensors expected = with_gradients(chain(false), inputs);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const double largest = expected[i].abs().max().item<double>();
        EXPECT_LT((actual[i] - expected[i]).abs().max().item<double>(), 2e-6 * largest) << i;
      }
      // Of two parts forward and two backward of either layer, and two weights' gradients; those of the operator are hidden.
      EXPECT_EQ(names.seen["titan_kernels::linear_product"], choice == Products::kBlas ? 0 : 8);
    });
  }
}

TEST(OverlappedProduct, FrozenWeightsGetNoGradient) {
  test::on_local_ranks({1, 2}, 2, [](const RankContext& context) {
    ProcessGroup& group = context.groups->world();
    const at::Tensor part = numbers({1, 2, 3}, 1).requires_grad_();
    const at::Tensor weight = numbers({3, 3}, 2);
    const at::Tensor product = all_gather_linear(part, {weight}, 1, group).products[0];
    linear_reduce_scatter(product, weight, 1, group).sum().backward();
    EXPECT_TRUE(part.grad().defined());
    EXPECT_FALSE(weight.grad().defined());
  });
}

TEST(OverlappedProduct, UnevenDimensionsAreRefused) {
  test::on_local_ranks({1, 2}, 2, [](const RankContext& context) {
    EXPECT_NE(test::message_of<InternalError>([&] {
                linear_reduce_scatter(numbers({1, 3, 2}, 1), numbers({2, 2}, 2), 1,
                                      context.groups->world());
              }).find("a dimension of 3 cannot be cut for 2 ranks"),
              std::string::npos);
  });
}

}  // namespace
}  // namespace titan::comm
