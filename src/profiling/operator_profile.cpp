#include "titan/profiling/operator_profile.h"

#include <torch/csrc/autograd/function.h>

#include <utility>

#include "titan/autograd/recomputation.h"
#include "titan/base/clock.h"
#include "titan/base/errors.h"

namespace titan::profiling {

/// While it lives, the names of the ranges that its thread is in.
class OperatorProfile::PartsOfStep {
 public:
  PartsOfStep() {
    TITAN_CHECK(current == nullptr, "two profiles at once on one thread");
    current = this;
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(&PartsOfStep::enter, &PartsOfStep::leave)
            .scopes({at::RecordScope::USER_SCOPE}));
  }
  ~PartsOfStep() {
    at::removeCallback(handle_);
    current = nullptr;
  }
  PartsOfStep(const PartsOfStep&) = delete;
  PartsOfStep& operator=(const PartsOfStep&) = delete;

  std::string innermost() const { return names_.empty() ? "" : names_.back(); }

 private:
  static std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& range) {
    if (current != nullptr) current->names_.emplace_back(range.name());
    return nullptr;
  }
  static void leave(const at::RecordFunction&, at::ObserverContext*) {
    if (current != nullptr && !current->names_.empty()) current->names_.pop_back();
  }

  static thread_local PartsOfStep* current;
  at::CallbackHandle handle_ = 0;
  std::vector<std::string> names_;
};

thread_local OperatorProfile::PartsOfStep* OperatorProfile::PartsOfStep::current = nullptr;

namespace {

TensorLook look_of(const at::Tensor& tensor) {
  return {tensor.sizes().vec(), tensor.strides().vec(), tensor.scalar_type()};
}

/// What `floor` needs beside sizes to make a call of attention again.
void describe_attention(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments,
                        OperatorCall& call) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = schema.arguments()[i].name();
    if (name == "is_causal" && arguments[i].isBool()) call.is_causal = arguments[i].toBool();
    if ((name == "allowed" || name == "attn_mask") && arguments[i].isTensor()) {
      call.is_masked = arguments[i].toTensor().defined();
    }
  }
}

}  // namespace

void OperatorProfile::follow(nn::Module& model) {
  for (const auto& [name, module] : model.named_modules()) {
    module_calls_.follow(*module, modules_.size());
    modules_.push_back(name);
  }
}

void OperatorProfile::begin_step(std::int64_t step) {
  if (step < first_step_) return;
  now_ = {step, 0, {}};
  module_calls_.forget();
  parts_ = std::make_shared<PartsOfStep>();
  scope_.emplace(*this);
  own_seconds_ = 0;
  start_ = base::monotonic_seconds();
}

void OperatorProfile::end_step() {
  if (!scope_) return;
  now_.seconds = base::monotonic_seconds() - start_ - own_seconds_;
  scope_.reset();
  parts_.reset();
  if (fastest_.calls.empty() || now_.seconds < fastest_.seconds) fastest_ = std::move(now_);
}

std::string OperatorProfile::part() const {
  if (autograd::is_recomputing()) return "again";
  if (torch::autograd::get_current_node() != nullptr) return "backward";
  if (module_calls_.is_forward()) return "forward";
  // "forward of microbatch 0 in stage 1"
  const std::string range = parts_->innermost();
  for (const char* part : {"forward", "backward", "optimizer"}) {
    if (range.starts_with(part)) return part;
  }
  return "rest";
}

void OperatorProfile::call(const c10::OperatorHandle& op, torch::jit::Stack* stack,
                           const std::function<void()>& compute) {
  const double entered = base::monotonic_seconds();
  const c10::FunctionSchema& schema = op.schema();
  const torch::jit::Stack arguments(
      stack->end() - static_cast<std::ptrdiff_t>(schema.arguments().size()), stack->end());
  OperatorCall call;
  call.name = op.operator_name().name;
  call.part = part();
  if (const auto owner = module_calls_.owner()) call.module = modules_[*owner];
  for (const c10::IValue& value : arguments) {
    for (const at::Tensor& tensor : autograd::tensors_in(value)) {
      call.inputs.push_back(look_of(tensor));
    }
  }
  describe_attention(schema, arguments, call);
  const double begin = base::monotonic_seconds();
  compute();
  const double end = base::monotonic_seconds();
  call.seconds = end - begin;
  own_seconds_ += begin - entered;
  call.start = begin - start_ - own_seconds_;
  const c10::ArrayRef<c10::IValue> results(stack->data() + stack->size() - schema.returns().size(),
                                           schema.returns().size());
  call.cost = autograd::cost_of(op, arguments, results);
  now_.calls.push_back(std::move(call));
  own_seconds_ += base::monotonic_seconds() - end;
}

}  // namespace titan::profiling
