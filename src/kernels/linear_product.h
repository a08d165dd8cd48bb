#pragma once

#include <ATen/core/Tensor.h>

namespace titan::kernels {

/// x wᵀ of `[M, K]` and `[N, K]`, without autograd, as an operator of its own.
at::Tensor linear_product(const at::Tensor& x, const at::Tensor& weight);

/// Whether products of these are fp32 on the CPU, outside of autocast.
bool takes_linear_product(const at::Tensor& x, const at::Tensor& weight);

/// to = x wᵀ of `[M, K]` and `[N, K]`, for kernels that are operators themselves: fp32 on the CPU, rows of `to` one behind the
/// other.
void set_to_product(at::Tensor to, const at::Tensor& x, const at::Tensor& weight);

/// Every x by every weight: `to[i · weights + j]` = x_i w_jᵀ, the same bits as those of single products. The split ones pack each
/// factor once.
void set_to_products(at::TensorList to, at::TensorList x, at::TensorList weights);

/// to += x wᵀ of `[M, K]` and `[N, K]`, without autograd, by the library that linear() takes.
void add_linear_product(at::Tensor to, const at::Tensor& x, const at::Tensor& weight);

}  // namespace titan::kernels
