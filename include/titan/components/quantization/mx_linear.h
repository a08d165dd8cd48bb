#pragma once

#include <ATen/core/Tensor.h>

#include "titan/components/quantization/mx.h"

namespace titan::components {

/// How rounded operands are multiplied.
enum class MXProducts {
  kEmulated,  // in their own type, anywhere
  kScaled,    // as they are, to bfloat16: a GPU of compute capability 10.0
};

/// y = x Wᵀ, the operands of all three products of forward and backward rounded to MXFP8 in blocks
/// along what each sums over. `x` is `[..., in]`, `weight` `[out, in]`; in, out and the number of
/// tokens are multiples of 32. Throws ConfigError otherwise. Differentiable. Source: torchao's mx_mm.
at::Tensor mx_linear(const at::Tensor& x, const at::Tensor& weight, MXScaling scaling,
                     MXProducts products = MXProducts::kEmulated);

}  // namespace titan::components
