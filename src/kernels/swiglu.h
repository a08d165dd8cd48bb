#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

namespace titan::kernels {

/// silu(a) · b, without autograd.
at::Tensor swiglu_of(const at::Tensor& a, const at::Tensor& b);

/// The gradients of a and b; `gradient` becomes silu(a) · b, bit for bit as forward made it, in the same pass. fp32 on the CPU, and
/// `gradient` contiguous.
std::tuple<at::Tensor, at::Tensor> swiglu_backward_and_again(at::Tensor gradient,
                                                             const at::Tensor& a,
                                                             const at::Tensor& b);

}  // namespace titan::kernels
