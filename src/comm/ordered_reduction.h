#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "titan/comm/process_group.h"

namespace titan::comm {

/// `result = rows[0] (+) rows[1] (+) ...`, from left to right, each sum rounded to the type: the
/// bits of the local back end. `rows[own]` is only read, and may be `result`; the other rows are
/// scratch.
void reduce_in_order(const at::Tensor& result, const std::vector<at::Tensor>& rows,
                     std::int64_t own, ReduceOp op);

}  // namespace titan::comm
