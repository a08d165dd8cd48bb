#pragma once

#include <c10/core/ScalarType.h>

#include <optional>

#include "titan/formats/tensor_dtype.h"

namespace titan::components {

/// LibTorch's name of a type of the files; nothing where this LibTorch has none.
std::optional<at::ScalarType> scalar_type_of(const formats::TensorDtype& dtype);
/// PyTorch's name of a type. Null for types that no file holds.
const formats::TensorDtype* dtype_of(at::ScalarType type);

}  // namespace titan::components
