#pragma once

#include <ATen/core/Tensor.h>

#include "titan/comm/process_group.h"
#include "titan/components/quantization/float8.h"
#include "titan/config/transforms.h"

namespace titan::components {

/// Ranks that a weight `[out, in]` is spread over, when it is (tensor parallelism): scales are
/// those of the whole.
struct WeightRanks {
  comm::ProcessGroup* group = nullptr;
  int dim = 0;  // of the weight, that is cut
};

/// y = x Wᵀ, the three products of forward and backward in float8; the recipes are torchao's. `x`
/// is `[..., in]`, of bfloat16 or float32, which are the result's too; the gradient of W has the
/// type of y's. Differentiable. Source: torchao's Float8Linear, dynamic scaling.
at::Tensor float8_linear(const at::Tensor& x, const at::Tensor& weight, config::Float8Recipe recipe,
                         Float8Products products, const WeightRanks& ranks = {});

}  // namespace titan::components
