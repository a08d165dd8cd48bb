#pragma once

#include <ATen/core/Tensor.h>

namespace titan::kernels {

// What layers compute, in one pass over memory. All are differentiable. fp32 on the CPU; anything else goes to
// LibTorch's operators, which on a GPU are fused themselves where that pays.

/// x Wᵀ without bias, forward and backward, on the faster of LibTorch's two libraries (products.h).
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight);

/// x · rsqrt(mean(x²) + eps) · weight over the last dimension.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

/// Turns adjacent pairs of the last dimension of `[B, S, heads, D]` by complex64 `[B or 1, S, 1, D / 2]`. The fast one
/// leaves each head's tokens one behind the other in memory, as attention takes them.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& rotations);

/// silu(a) · b
at::Tensor swiglu(const at::Tensor& a, const at::Tensor& b);

}  // namespace titan::kernels
