#include "parallel/keeping_modes.h"

#include <utility>

namespace titan::parallel {

using torch::jit::Stack;

void KeptResults::keep(const std::string& name, const Stack& stack, std::size_t count) {
  keep(name, aliases_of_results(stack, count));
}

void KeptResults::keep(const std::string& name, Stack results) {
  by_operator_[name].push_back(std::move(results));
}

std::optional<Stack> KeptResults::take(const std::string& name) {
  std::deque<Stack>& results = by_operator_[name];
  if (results.empty()) return std::nullopt;
  Stack oldest = std::move(results.front());
  results.pop_front();
  return oldest;
}

Stack aliases_of_results(const Stack& stack, std::size_t count) {
  Stack results(stack.end() - static_cast<std::ptrdiff_t>(count), stack.end());
  for (c10::IValue& value : results) {
    if (value.isTensor() && value.toTensor().defined()) {
      value = value.toTensor().variable_data();
    }
  }
  return results;
}

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

namespace {

class PassMode : public autograd::DispatchMode {
 public:
  PassMode(KeepDecision decision, std::shared_ptr<KeptResults> kept)
      : decision_(std::move(decision)), kept_(std::move(kept)) {}

 protected:
  KeepDecision decision_;
  std::shared_ptr<KeptResults> kept_;
};

class KeepMode : public PassMode {
 public:
  using PassMode::PassMode;
  void call(const c10::OperatorHandle& op, Stack* stack,
            const std::function<void()>& compute) override {
    const std::string& name = op.operator_name().name;
    const bool keep = decision_(name, op, *stack);
    compute();
    if (keep) kept_->keep(name, *stack, op.schema().returns().size());
  }
};

class ReuseMode : public PassMode {
 public:
  using PassMode::PassMode;
  void call(const c10::OperatorHandle& op, Stack* stack,
            const std::function<void()>& compute) override {
    const std::string& name = op.operator_name().name;
    if (!decision_(name, op, *stack)) return compute();
    std::optional<Stack> results = kept_->take(name);
    if (!results) return compute();
    stack->resize(stack->size() - op.schema().arguments().size());
    for (c10::IValue& value : *results) stack->push_back(std::move(value));
  }
};

}  // namespace

std::shared_ptr<autograd::DispatchMode> keeping_mode(KeepDecision decision,
                                                     std::shared_ptr<KeptResults> kept) {
  return std::make_shared<KeepMode>(std::move(decision), std::move(kept));
}

std::shared_ptr<autograd::DispatchMode> reusing_mode(KeepDecision decision,
                                                     std::shared_ptr<KeptResults> kept) {
  return std::make_shared<ReuseMode>(std::move(decision), std::move(kept));
}

}  // namespace titan::parallel
