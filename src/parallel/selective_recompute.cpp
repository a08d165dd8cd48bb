#include "titan/parallel/selective_recompute.h"

#include <deque>
#include <unordered_map>

namespace titan::parallel {

namespace {

using torch::jit::Stack;

/// Results kept by forward, by operator, oldest first.
struct KeptResults {
  std::unordered_map<std::string, std::deque<Stack>> by_operator;
};

bool is_copy_to_host(const std::string& name, const c10::OperatorHandle& op, const Stack& stack) {
  if (name != "aten::_to_copy") return false;
  const auto& arguments = op.schema().arguments();
  const c10::IValue& source = stack[stack.size() - arguments.size()];
  if (source.toTensor().is_cpu()) return false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const c10::IValue& value = stack[stack.size() - arguments.size() + i];
    if (arguments[i].name() == "device" && value.isDevice()) return value.toDevice().is_cpu();
  }
  return false;
}

/// Decides, for one pass over a block, which results are kept. Both passes meet the same operators
/// in the same order, so two instances decide alike.
class SaveDecision {
 public:
  explicit SaveDecision(std::shared_ptr<const OperatorSavePolicy> policy)
      : policy_(std::move(policy)) {}

  bool keeps(const std::string& name, const c10::OperatorHandle& op, const Stack& stack) {
    if (is_copy_to_host(name, op, stack) || policy_->always_kept.contains(name)) return true;
    const bool is_linear = name == "titan_kernels::linear_product";
    if (name != "aten::mm" && !is_linear) return policy_->save_list.contains(name);
    const at::Tensor& weight = stack.back().toTensor();
    const at::Tensor rhs = is_linear ? weight.t() : weight;
    if (policy_->recompute_mm_shapes.contains({rhs.size(0), rhs.size(1)})) return false;
    ++mm_count_;
    return policy_->save_list.contains(name) && mm_count_ % 2 == 1;
  }

 private:
  std::shared_ptr<const OperatorSavePolicy> policy_;
  std::int64_t mm_count_ = 0;
};

/// The results on top of the stack without their place in the autograd graph, which would otherwise
/// own itself through the frame.
Stack aliases_of_results(const Stack& stack, std::size_t count) {
  Stack results(stack.end() - static_cast<std::ptrdiff_t>(count), stack.end());
  for (c10::IValue& value : results) {
    if (value.isTensor() && value.toTensor().defined()) {
      value = value.toTensor().variable_data();
    }
  }
  return results;
}

class SelectiveMode : public autograd::DispatchMode {
 public:
  SelectiveMode(std::shared_ptr<const OperatorSavePolicy> policy, std::shared_ptr<KeptResults> kept)
      : decision_(std::move(policy)), kept_(std::move(kept)) {}

 protected:
  SaveDecision decision_;
  std::shared_ptr<KeptResults> kept_;
};

class KeepMode : public SelectiveMode {
 public:
  using SelectiveMode::SelectiveMode;
  void call(const c10::OperatorHandle& op, Stack* stack,
            const std::function<void()>& compute) override {
    const std::string& name = op.operator_name().name;
    const bool keep = decision_.keeps(name, op, *stack);
    compute();
    if (!keep) return;
    kept_->by_operator[name].push_back(aliases_of_results(*stack, op.schema().returns().size()));
  }
};

class ReuseMode : public SelectiveMode {
 public:
  using SelectiveMode::SelectiveMode;
  void call(const c10::OperatorHandle& op, Stack* stack,
            const std::function<void()>& compute) override {
    const std::string& name = op.operator_name().name;
    if (!decision_.keeps(name, op, *stack)) return compute();
    auto& results = kept_->by_operator[name];
    if (results.empty()) return compute();
    stack->resize(stack->size() - op.schema().arguments().size());
    for (c10::IValue& value : results.front()) stack->push_back(std::move(value));
    results.pop_front();
  }
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
  return {std::make_shared<KeepMode>(policy, kept), std::make_shared<ReuseMode>(policy, kept)};
}

}  // namespace titan::parallel
