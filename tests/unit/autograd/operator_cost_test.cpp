#include "titan/autograd/operator_cost.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_unsafe_view.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <gtest/gtest.h>

#include <map>

#include "titan/autograd/dispatch_mode.h"
#include "titan/kernels/experts.h"
#include "titan/kernels/layers.h"

namespace titan::autograd {
namespace {

/// What each operator came to, by name; repeated ones are summed.
class CostingMode : public DispatchMode {
 public:
  void call(const c10::OperatorHandle& op, torch::jit::Stack* stack,
            const std::function<void()>& compute) override {
    const torch::jit::Stack arguments(
        stack->end() - static_cast<std::ptrdiff_t>(op.schema().arguments().size()), stack->end());
    compute();
    const std::size_t results = op.schema().returns().size();
    const c10::ArrayRef<c10::IValue> given_back(stack->data() + stack->size() - results, results);
    const OperatorCost cost = cost_of(op, arguments, given_back);
    OperatorCost& sum = costs[op.operator_name().name];
    sum.flops += cost.flops;
    sum.bytes += cost.bytes;
  }
  std::map<std::string, OperatorCost> costs;
};

std::map<std::string, OperatorCost> costs_of(const std::function<void()>& body) {
  CostingMode mode;
  const DispatchModeScope scope(mode);
  body();
  return mode.costs;
}

constexpr std::int64_t kFloat = 4;  // bytes

TEST(OperatorCost, OfProducts) {
  const at::Tensor a = at::ones({3, 5});
  const at::Tensor b = at::ones({5, 7});
  const auto costs = costs_of([&] {
    at::mm(a, b);
    at::bmm(at::ones({2, 3, 5}), at::ones({2, 5, 7}));
    at::addmm(at::ones({7}), a, b);
  });
  EXPECT_EQ(costs.at("aten::mm").flops, 2 * 3 * 5 * 7);
  EXPECT_EQ(costs.at("aten::mm").bytes, (15 + 35 + 21) * kFloat);
  EXPECT_EQ(costs.at("aten::bmm").flops, 2 * 2 * 3 * 5 * 7);
  EXPECT_EQ(costs.at("aten::addmm").flops, 2 * 3 * 5 * 7);
  EXPECT_EQ(costs.at("aten::addmm").bytes, (7 + 15 + 35 + 21) * kFloat);
}

TEST(OperatorCost, OfExpertsIsThatOfTheirProducts) {
  constexpr std::int64_t kRows = 7, kDim = 4, kHidden = 6;
  const at::Tensor rows = at::randn({kRows, kDim}).set_requires_grad(true);
  const at::Tensor into = at::randn({3, kHidden, kDim}).set_requires_grad(true);
  const at::Tensor back = at::randn({3, kDim, kHidden}).set_requires_grad(true);
  const auto costs = costs_of([&] {
    const at::Tensor counts = at::full({3}, 2, at::kLong) + (at::arange(3) == 1);
    kernels::experts(rows, {into, back, into}, counts).sum().backward();
  });
  constexpr double kProduct = 2 * kRows * kDim * kHidden;
  EXPECT_EQ(costs.at("titan_kernels::experts").flops, 3 * kProduct);
  EXPECT_EQ(costs.at("titan_kernels::experts_backward").flops, 6 * kProduct);
}

TEST(OperatorCost, OfProductsThatAreMadeTogether) {
  const at::Tensor x = at::ones({3, 5}).set_requires_grad(true);
  const at::Tensor narrow = at::ones({7, 5}).set_requires_grad(true);
  const at::Tensor wide = at::ones({11, 5}).set_requires_grad(true);
  const auto costs = costs_of([&] {
    const std::vector<at::Tensor> y = kernels::linears(x, {narrow, wide});
    (y[0].sum() + y[1].sum()).backward();
  });
  constexpr int kFlops = 2 * 3 * 5 * (7 + 11);
  EXPECT_EQ(costs.at("titan_kernels::linear_products_of_one").flops, kFlops);
  EXPECT_EQ(costs.at("titan_kernels::linear_products_sum").flops, kFlops);
  EXPECT_EQ(costs.at("titan_kernels::linear_products").flops, kFlops);
}

TEST(OperatorCost, OfAttentionIsWhatIsSeen) {
  const at::Tensor q = at::randn({2, 3, 5, 4}).set_requires_grad(true);
  for (const bool causal : {false, true}) {
    const auto costs = costs_of([&] {
      at::scaled_dot_product_attention(q, q, q, std::nullopt, 0.0, causal).sum().backward();
    });
    const double pairs = 2 * 3 * (causal ? 5 * 6 / 2 : 5 * 5);
    EXPECT_EQ(costs.at("aten::_scaled_dot_product_flash_attention_for_cpu").flops,
              pairs * 2 * (4 + 4));
    EXPECT_EQ(costs.at("aten::_scaled_dot_product_flash_attention_for_cpu_backward").flops,
              pairs * 2 * 5 * 4);
  }
}

TEST(OperatorCost, OfWhatIsWrittenInPlaceAndOfViews) {
  at::Tensor a = at::ones({4, 6});
  const at::Tensor b = at::ones({4, 6});
  const auto costs = costs_of([&] {
    a.add_(b);
    a.view({6, 4}).t();
    at::_unsafe_view(a, {24});
    a.mul(b);
  });
  EXPECT_EQ(costs.at("aten::add_").bytes, 2 * 24 * kFloat);
  EXPECT_EQ(costs.at("aten::view").bytes, 0);
  EXPECT_EQ(costs.at("aten::t").bytes, 0);
  EXPECT_EQ(costs.at("aten::_unsafe_view").bytes, 0);
  EXPECT_EQ(costs.at("aten::mul").bytes, 3 * 24 * kFloat);
  EXPECT_EQ(costs.at("aten::mul").flops, 0);
}

TEST(OperatorCost, OfListsIsThatOfTheirTensors) {
  const auto costs = costs_of([] { at::cat({at::ones({2, 3}), at::ones({4, 3})}); });
  EXPECT_EQ(costs.at("aten::cat").bytes, 2 * 18 * kFloat);
}

}  // namespace
}  // namespace titan::autograd
