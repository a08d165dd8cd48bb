#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "titan/comm/process_group.h"

namespace titan::parallel {

/// The 2-norm of all gradients seen as one vector; a 0-dim tensor on their device. Parameters
/// without a gradient do not count. Of sharded parameters, `shard` is the group over which they are:
/// the shards' norms are put together, no tensor is.
at::Tensor total_grad_norm(const std::vector<at::Tensor>& parameters,
                           comm::ProcessGroup* shard = nullptr);

/// Scales all gradients by min(1, max_norm / (total_norm + 1e-6)) in place.
void clip_grads_with_norm_(const std::vector<at::Tensor>& parameters, double max_norm,
                           const at::Tensor& total_norm);

}  // namespace titan::parallel
