#include "titan/parallel/selective_recompute.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "parallel/keeping_modes.h"

namespace titan::parallel {

namespace {

using torch::jit::Stack;

/// Decides, for one pass over a block, which results are kept. Both passes meet the same operators
/// in the same order, so two instances decide alike.
class SaveDecision {
 public:
  explicit SaveDecision(std::shared_ptr<const OperatorSavePolicy> policy)
      : policy_(std::move(policy)) {}

  bool operator()(const std::string& name, const c10::OperatorHandle& op, const Stack& stack) {
    if (is_copy_to_host(name, op, stack) || policy_->always_kept.contains(name)) return true;
    if (name == "titan_kernels::linear_products_of_one") return keeps_most(stack);
    const bool is_linear = name == "titan_kernels::linear_product";
    if (name != "aten::mm" && !is_linear) return policy_->save_list.contains(name);
    const at::Tensor& weight = stack.back().toTensor();
    const at::Tensor rhs = is_linear ? weight.t() : weight;
    if (policy_->recompute_mm_shapes.contains({rhs.size(0), rhs.size(1)})) return false;
    ++mm_count_;
    return policy_->save_list.contains(name) && mm_count_ % 2 == 1;
  }

 private:
  /// Products that are made together are kept together: where more than half of them would be, one by one.
  bool keeps_most(const Stack& stack) {
    const std::vector<at::Tensor> weights = stack.back().toTensorVector();
    std::size_t kept = 0;
    for (const at::Tensor& weight : weights) {
      if (policy_->recompute_mm_shapes.contains({weight.size(1), weight.size(0)})) continue;
      kept += ++mm_count_ % 2 == 1 ? 1 : 0;
    }
    return policy_->save_list.contains("titan_kernels::linear_product") &&
           2 * kept > weights.size();
  }

  std::shared_ptr<const OperatorSavePolicy> policy_;
  std::int64_t mm_count_ = 0;
};

}  // namespace

OperatorSavePolicy default_save_policy() {
  // Names have no overload: max over a dimension is kept too. The CPU's flash attention is not in
  // the reference's list; it stands beside the GPU's because it is as costly to run again. Largest
  // entries are what the reference means with max: scales of low precision follow from them.
  return {
      {"aten::mm", "titan_kernels::linear_product", "titan_kernels::attention",
       "aten::_scaled_dot_product_efficient_attention", "aten::_scaled_dot_product_flash_attention",
       "aten::_scaled_dot_product_flash_attention_for_cpu",
       "aten::_scaled_dot_product_cudnn_attention", "aten::_scaled_dot_product_attention_math",
       "aten::_scaled_dot_product_fused_attention_overrideable", "aten::_flash_attention_forward",
       "aten::max", "titan::largest_entries", "titan::reduce_scatter",
       "titan::linear_reduce_scatter", "titan::ring_attention"},
      {}};
}

OperatorSavePolicy only_always_kept(const OperatorSavePolicy& policy) {
  OperatorSavePolicy rest;
  rest.always_kept = policy.always_kept;
  return rest;
}

SelectiveModes selective_modes(std::shared_ptr<const OperatorSavePolicy> policy) {
  auto kept = std::make_shared<KeptResults>();
  return {keeping_mode(SaveDecision(policy), kept), reusing_mode(SaveDecision(policy), kept)};
}

}  // namespace titan::parallel
