#pragma once

#include <ATen/core/Tensor.h>

namespace titan::kernels {

/// Every x `[M_i, K]` by every weight `[N_j, K]`, by split_product.h, each packed once: `to[i · weights + j]` `[M_i, N_j]` = x_i w_jᵀ,
/// or that added to it. fp32; `to` has columns one beside the other. Any strides of the factors, fastest where one of each
/// is 1. The same bits for any number of threads, and for each product the bits that it has alone. Infinities and what is
/// no number come out as fp32 has them.
void multiply_split(at::TensorList x, at::TensorList weights, at::TensorList to, bool adds);

/// to `[M, N]` = the sum of all x_i `[M, K_i]` w_iᵀ `[N, K_i]`, in the bits of one product set and the others added to it; a place of it is
/// in the cache until it is whole.
void multiply_split_sum(at::TensorList x, at::TensorList weights, const at::Tensor& to);

}  // namespace titan::kernels
