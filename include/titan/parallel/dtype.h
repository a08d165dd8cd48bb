#pragma once

#include <c10/core/ScalarType.h>

#include "titan/config/training.h"

namespace titan::parallel {

/// LibTorch's type for a config's word.
constexpr c10::ScalarType torch_dtype(config::DType dtype) {
  return dtype == config::DType::kBFloat16 ? c10::kBFloat16 : c10::kFloat;
}

}  // namespace titan::parallel
