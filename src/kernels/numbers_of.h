#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/row_kernels.h"

namespace titan::kernels {

/// Whether kernels for single numbers (ElementKernels) are there for its type.
inline bool has_element_kernels(const at::Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

/// A tensor's numbers, as the kernels take them.
template <class Number>
Number* numbers_of(const at::Tensor& x) {
  return static_cast<Number*>(x.data_ptr());
}

}  // namespace titan::kernels
