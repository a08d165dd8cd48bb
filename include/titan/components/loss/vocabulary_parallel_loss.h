#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "titan/comm/process_group.h"

namespace titan::components {

/// cross_entropy_loss of logits of which each rank of `group` has a part of the vocabulary: `prediction`
/// `[B, S, v]`, cut along its last dimension as torch.chunk cuts `vocab_size`. The same sum on all ranks, whose
/// gradient every rank gets for its part. Logits are not gathered: two numbers per token are exchanged, the
/// largest logit of each part and the sum of exponentials below it. All ranks call it together.
at::Tensor vocabulary_parallel_cross_entropy_loss(const at::Tensor& prediction,
                                                  const at::Tensor& labels, std::int64_t vocab_size,
                                                  comm::ProcessGroup& group);

}  // namespace titan::components
