#include "titan/step/early_step.h"

#include "titan/autograd/backward_hooks.h"

namespace titan::step {

EarlyStep::EarlyStep(const protocols::ModelParts& parts, protocols::Optimizers& optimizers)
    : optimizers_(optimizers) {
  for (const protocols::ModelPart& part : parts) attach(part);
}

void EarlyStep::attach(const protocols::ModelPart& part) {
  const std::vector<nn::NamedParameter> parameters = part.model->named_parameters();
  for (const nn::NamedParameter& named : parameters) {
    if (!named.parameter->partial_over.empty()) wait_.insert(named.tensor().unsafeGetTensorImpl());
  }
  if (part.sharding->on_summed_gradients([this](const auto& summed) { step(summed); })) return;
  for (const nn::NamedParameter& named : parameters) {
    const at::Tensor tensor = named.tensor();
    if (!tensor.requires_grad()) continue;
    // Not the tensor itself: it would hold itself by its own hook.
    autograd::after_gradient(tensor,
                             [this, parameter = named.parameter] { step({parameter->tensor}); });
  }
}

void EarlyStep::step(const std::vector<at::Tensor>& parameters) {
  if (!is_last_) return;
  if (wait_.empty()) return optimizers_.step_early(parameters);
  std::vector<at::Tensor> summed;
  for (const at::Tensor& parameter : parameters) {
    if (!wait_.contains(parameter.unsafeGetTensorImpl())) summed.push_back(parameter);
  }
  optimizers_.step_early(summed);
}

}  // namespace titan::step
