#pragma once

#include <cstdint>
#include <string_view>

namespace titan::formats {

/// A type of tensor elements by PyTorch's names.
struct TensorDtype {
  std::string_view name;     // "float32": torch.float32
  std::string_view storage;  // "FloatStorage" in `torch.save` files; "": storages are untyped there
  std::int64_t bytes;        // of an element
};

/// The types that a checkpoint may hold. Null for other names.
const TensorDtype* find_dtype(std::string_view name);
/// By the name of the storage class.
const TensorDtype* find_dtype_of_storage(std::string_view storage);

}  // namespace titan::formats
