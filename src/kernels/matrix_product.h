#pragma once

#include <ATen/core/Tensor.h>

namespace titan::kernels {

/// `to` `[M, N]`, fp32, rows one behind the other, = x wᵀ of `[M, K]` and `[N, K]`, or `to` + that, by split_product.h.
/// Any strides; fastest where one of each factor's is 1. The same bits for any number of threads.
void multiply_split(const at::Tensor& x, const at::Tensor& weight, at::Tensor& to, bool adds);

}  // namespace titan::kernels
