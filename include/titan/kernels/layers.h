#pragma once

#include <ATen/core/Tensor.h>

namespace titan::kernels {

// What layers compute, in one pass over memory. All are differentiable. Rotations and SwiGLU have kernels in fp32 and bf16
// on the CPU and on NVIDIA GPUs, the others in fp32 on the CPU; anything else goes to LibTorch's operators, which on a GPU
// are fused themselves.

/// x Wᵀ without bias, forward and backward, on the faster of LibTorch's two libraries (products.h).
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight);

/// x · rsqrt(mean(x²) + eps) · weight over the last dimension.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

/// Whether there is a kernel that turns x: for its type, where it is.
bool takes_rotation(const at::Tensor& x);
/// Turns pairs of the last dimension of `[B, S, heads, D]`: adjacent ones by complex64 `[B or 1, S, 1, D / 2]`, number i of
/// the first half with number i of the second by `D` cosines and `D` sines, fp32 `[B or 1, S, 1, 2 D]`. Leaves each
/// head's tokens one behind the other in memory, as attention takes them.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& rotations);

/// silu(a) · b
at::Tensor swiglu(const at::Tensor& a, const at::Tensor& b);

}  // namespace titan::kernels
