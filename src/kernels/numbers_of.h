#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/operators.h"
#include "kernels/row_kernels.h"

namespace titan::kernels {

/// Whether rotations and SwiGLU have kernels for its type, where it is: on a GPU if this build has them (src/cuda).
inline bool has_element_kernels(const at::Tensor& x) {
  if (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16) return false;
  static const bool on_gpu =
      find_schema("titan_kernels::swiglu").hasKernelForDispatchKey(c10::DispatchKey::CUDA);
  return x.is_cpu() || (x.is_cuda() && on_gpu);
}

/// A tensor's numbers, as the kernels take them.
template <class Number>
Number* numbers_of(const at::Tensor& x) {
  return static_cast<Number*>(x.data_ptr());
}

}  // namespace titan::kernels
