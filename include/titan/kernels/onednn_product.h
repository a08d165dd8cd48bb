#pragma once

#include <ATen/core/Tensor.h>

namespace titan::kernels {

/// x wᵀ of `[M, K]` and `[N, K]`, of any strides, by the oneDNN inside LibTorch, whatever `products()` says. Not differentiable.
at::Tensor multiply_on_onednn(const at::Tensor& x, const at::Tensor& weight);

}  // namespace titan::kernels
