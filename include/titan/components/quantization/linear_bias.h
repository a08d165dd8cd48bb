#pragma once

#include <ATen/core/Tensor.h>

#include "titan/nn/module.h"

namespace titan::components {

/// What a linear layer adds to its product: the parameter "bias", `[out]`, of a user's own subclass of nn::Linear; null: nothing. It
/// is added as it is, not rounded.
const nn::Parameter* bias_of(const nn::Module& linear);

/// y + bias, in y's type. Differentiable.
at::Tensor with_bias(const at::Tensor& y, const at::Tensor& bias);

}  // namespace titan::components
