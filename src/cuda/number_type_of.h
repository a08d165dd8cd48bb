#pragma once

#include <ATen/core/Tensor.h>

#include "cuda/number_type.h"

namespace titan::cuda {

/// Throws c10::Error of any other type.
inline NumberType number_type_of(const at::Tensor& x) {
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16,
              "kernels take bfloat16 or float32, not ", x.scalar_type());
  return x.scalar_type() == at::kFloat ? NumberType::kFloat : NumberType::kBFloat16;
}

}  // namespace titan::cuda
