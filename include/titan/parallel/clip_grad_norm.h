#pragma once

#include <ATen/core/Tensor.h>

#include "titan/parallel/layout.h"

namespace titan::parallel {

/// The 2-norm of all gradients seen as one vector, over all parts and pipeline stages; a 0-dim tensor on the
/// gradients' device. Of parameters that are cut, the parts' norms are put together, no tensor is; those
/// that a rank's copy of is whole count once. All ranks of a job call it together, also one that has no
/// gradient.
at::Tensor total_grad_norm(const Parameters& parameters, const comm::RankContext& context);

/// min(1, max_norm / (total_norm + 1e-6)): what gradients are multiplied by so that their norm is at most `max_norm`.
at::Tensor clip_factor(double max_norm, const at::Tensor& total_norm);

/// Multiplies all gradients by that in place.
void clip_grads_with_norm_(const Parameters& parameters, double max_norm,
                           const at::Tensor& total_norm);

}  // namespace titan::parallel
