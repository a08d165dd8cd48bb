#pragma once

#include <c10/core/ScalarType.h>

#include "titan/base/errors.h"
#include "titan/config/distributed.h"
#include "titan/config/training.h"

namespace titan::parallel {

/// LibTorch's type for a config's word.
constexpr c10::ScalarType torch_dtype(config::DType dtype) {
  return dtype == config::DType::kBFloat16 ? c10::kBFloat16 : c10::kFloat;
}

constexpr c10::ScalarType torch_dtype(config::ExportDType dtype) {
  switch (dtype) {
    case config::ExportDType::kFloat16:
      return c10::kHalf;
    case config::ExportDType::kBFloat16:
      return c10::kBFloat16;
    case config::ExportDType::kFloat32:
      return c10::kFloat;
  }
  throw InternalError("unknown export type");
}

}  // namespace titan::parallel
