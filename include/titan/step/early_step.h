#pragma once

#include <c10/core/TensorImpl.h>

#include <cstdint>
#include <unordered_set>

#include "titan/protocols/model_part.h"
#include "titan/protocols/optimizer.h"

namespace titan::step {

/// `optimizer.early_step_in_backward`: in the backward of a step's last microbatch each parameter is updated as
/// soon as the sum of its gradient is there, which is then let go of. So a rank never has the gradients of
/// all its parameters at once, and nobody can take their norm.
///
/// What remains is for `Optimizers::step`: parameters whose gradient is summed once more when backward is over
/// (`Parameter::partial_over`), and hooks.
class EarlyStep {
 public:
  /// Attaches itself to the parts, which run no backward after its end. Both outlive it.
  EarlyStep(const protocols::ModelParts& parts, protocols::Optimizers& optimizers);

  /// Whether the backward passes to come update parameters; not unless this says so.
  void set_last_microbatch(bool is_last) { is_last_ = is_last; }

 private:
  void attach(const protocols::ModelPart& part);
  void step(const std::vector<at::Tensor>& parameters);

  protocols::Optimizers& optimizers_;
  std::unordered_set<const c10::TensorImpl*> wait_;  // are summed once more
  bool is_last_ = false;
};

}  // namespace titan::step
