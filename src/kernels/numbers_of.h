#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/operators.h"
#include "kernels/row_kernels.h"

namespace titan::kernels {

/// Whether single numbers of this type have kernels at all.
inline bool is_float_or_bfloat16(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
}

/// Whether the kernels of this room (ElementKernels and RowKernels) take it.
inline bool has_element_kernels(const at::Tensor& x) {
  return x.is_cpu() && is_float_or_bfloat16(x);
}

/// Whether a GPU's kernels for rotations and SwiGLU do, in a build that has them (src/cuda).
inline bool has_gpu_kernels(const at::Tensor& x) {
  static const bool are_built =
      find_schema("titan_kernels::swiglu").hasKernelForDispatchKey(c10::DispatchKey::CUDA);
  return are_built && x.is_cuda() && is_float_or_bfloat16(x);
}

/// A tensor's numbers, as the kernels take them.
template <class Number>
Number* numbers_of(const at::Tensor& x) {
  return static_cast<Number*>(x.data_ptr());
}

}  // namespace titan::kernels
