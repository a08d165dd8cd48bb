#pragma once

#include <ATen/record_function.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "titan/autograd/dispatch_mode.h"
#include "titan/autograd/module_calls.h"
#include "titan/autograd/operator_cost.h"

namespace titan::profiling {

/// A tensor that an operator was given, without its numbers.
struct TensorLook {
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  at::ScalarType dtype = at::kFloat;

  auto operator<=>(const TensorLook&) const = default;
};

/// One call of an operator in a step.
struct OperatorCall {
  std::string name;    // "aten::mm"
  std::string module;  // "layers.0.attention.wq"; empty: no module's
  std::string
      part;  // of the step: "forward", "again" (checkpointing), "backward", "optimizer", "rest"
  double start = 0;  // seconds since the step's beginning, without those that recording took
  double seconds = 0;
  autograd::OperatorCost cost;
  std::vector<TensorLook> inputs;
  bool is_causal = false;  // of attention
  bool is_masked = false;
};

/// What one step has run, in order.
struct StepRecord {
  std::int64_t step = 0;
  double seconds = 0;  // without those that recording took
  std::vector<OperatorCall> calls;
};

/// Records every operator that its thread runs in a step: below autograd, above the kernels, which on a CPU have ended when
/// they return. Made before the model's first call and outlives the model; all on one thread.
class OperatorProfile : public autograd::DispatchMode {
 public:
  /// Steps from `first_step` on are recorded; of these the fastest is kept.
  explicit OperatorProfile(std::int64_t first_step) : first_step_(first_step) {}

  /// Will know the operators of the model's modules, which is as it is trained. Of a pipeline, of every part.
  void follow(nn::Module& model);
  void begin_step(std::int64_t step);
  void end_step();

  /// The fastest step; empty before there is one.
  const StepRecord& fastest() const { return fastest_; }

  void call(const c10::OperatorHandle& op, torch::jit::Stack* stack,
            const std::function<void()>& compute) override;

 private:
  /// Hears the names of ranges (range.h), which are the parts of a step.
  class PartsOfStep;

  std::string part() const;

  std::int64_t first_step_;
  std::vector<std::string> modules_;
  autograd::ModuleCalls module_calls_;  // whose owners are places in `modules_`
  std::shared_ptr<PartsOfStep> parts_;
  std::optional<autograd::DispatchModeScope> scope_;
  double start_ = 0;
  double own_seconds_ = 0;  // that recording took since then
  StepRecord now_;
  StepRecord fastest_;
};

}  // namespace titan::profiling
