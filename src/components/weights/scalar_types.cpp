#include "components/weights/scalar_types.h"

#include "titan/components/checkpoint/dcp_state.h"

namespace titan::components {

using formats::TensorDtype;

std::optional<at::ScalarType> scalar_type_of(const TensorDtype& dtype) {
  return scalar_type_of(dtype.name);
}

const TensorDtype* dtype_of(at::ScalarType type) {
  for (const TensorDtype& dtype : formats::all_dtypes()) {
    if (scalar_type_of(dtype) == type) return &dtype;
  }
  return nullptr;
}

}  // namespace titan::components
