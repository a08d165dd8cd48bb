#pragma once

#include <ATen/core/Tensor.h>

#include "titan/components/quantization/mx.h"

namespace titan::components {

/// y = x Wᵀ, the operands of all three products of forward and backward rounded to MXFP8 in blocks
/// along what each sums over. `x` is `[..., in]`, `weight` `[out, in]`; in, out and the number of
/// tokens are multiples of 32. Throws ConfigError otherwise. Differentiable. Source: torchao's mx_mm.
at::Tensor mx_linear(const at::Tensor& x, const at::Tensor& weight, MXScaling scaling,
                     MXProducts products = MXProducts::kEmulated);

}  // namespace titan::components
