#pragma once

#include <ATen/core/Tensor.h>

#include "titan/comm/process_group.h"
#include "titan/nn/parameter.h"

namespace titan::parallel {

/// The whole of a tensor that is sharded like a parameter, on every rank: the parameter itself or its
/// gradient. Without a box the tensor is whole already. All ranks of `shard` call it together.
/// Needs the memory of the whole, twice for a moment.
at::Tensor full_tensor(const at::Tensor& local, const std::optional<nn::TensorBox>& box,
                       comm::ProcessGroup* shard);

}  // namespace titan::parallel
