#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace titan::kernels {

// What layers compute, in one pass over memory. All are differentiable. Rotations and SwiGLU have kernels in fp32 and bf16
// on the CPU and on NVIDIA GPUs, norms in fp32 and bf16 on the CPU, products in fp32 on the CPU; anything else goes to
// LibTorch's operators, which on a GPU are fused themselves.

/// x Wᵀ without bias, forward and backward, by who multiplies here (products.h).
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight);

/// The same of several weights. Backward makes one sum of what they give x.
std::vector<at::Tensor> linears(const at::Tensor& x, const std::vector<at::Tensor>& weights);

/// x · rsqrt(mean(x²) + eps) · weight over the last dimension. Also in bf16, computed in fp32.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

struct SumAndNorm {
  at::Tensor normed;
  at::Tensor sum;
};

/// x + residual, and that normalised. Backward is one pass, too: what the sum's other users give it is added where the norm's
/// gradient is made. An undefined residual: the sum is x itself.
SumAndNorm sum_and_rms_norm(const at::Tensor& x, const at::Tensor& residual,
                            const at::Tensor& weight, double eps);

/// Whether there is a kernel that turns x: for its type, where it is.
bool takes_rotation(const at::Tensor& x);

/// Turns x `[B, S, heads, D]` by rotations of its tokens: adjacent pairs of features by complex64 `[B or 1, S, 1, D / 2]`,
/// or features j and D / 2 + j by `D` cosines and `D` sines, fp32 `[B or 1, S, 1, 2 · D]`. Computed in fp32. It
/// leaves each head's tokens one behind the other in memory, as attention takes them.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& rotations);

/// silu(a) · b
at::Tensor swiglu(const at::Tensor& a, const at::Tensor& b);

/// linear(product, weight), where `product` is swiglu(gate, up), which does not stay for backward: that makes it again, in the pass that
/// makes the gradients of the two. What differentiates it goes to the two and not through `product`. In fp32 on the CPU;
/// elsewhere it is linear().
at::Tensor linear_of_swiglu(const at::Tensor& product, const at::Tensor& gate, const at::Tensor& up,
                            const at::Tensor& weight);

}  // namespace titan::kernels
