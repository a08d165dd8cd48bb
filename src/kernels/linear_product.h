#pragma once

#include <ATen/core/Tensor.h>

namespace titan::kernels {

/// to = x wᵀ of `[M, K]` and `[N, K]`, for kernels that are operators themselves: fp32 on the CPU, rows of `to` one behind the
/// other.
void set_to_product(at::Tensor to, const at::Tensor& x, const at::Tensor& weight);

/// to += x wᵀ of `[M, K]` and `[N, K]`, without autograd, by the library that linear() takes.
void add_linear_product(at::Tensor to, const at::Tensor& x, const at::Tensor& weight);

}  // namespace titan::kernels
