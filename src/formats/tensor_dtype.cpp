#include "titan/formats/tensor_dtype.h"

namespace titan::formats {
namespace {

constexpr TensorDtype kDtypes[] = {
    {"float32", "FloatStorage", 4},
    {"bfloat16", "BFloat16Storage", 2},
    {"float16", "HalfStorage", 2},
    {"float64", "DoubleStorage", 8},
    {"int64", "LongStorage", 8},
    {"int32", "IntStorage", 4},
    {"int16", "ShortStorage", 2},
    {"int8", "CharStorage", 1},
    {"uint8", "ByteStorage", 1},
    {"bool", "BoolStorage", 1},
    {"complex64", "ComplexFloatStorage", 8},
    {"complex128", "ComplexDoubleStorage", 16},
    {"uint16", "", 2},
    {"uint32", "", 4},
    {"uint64", "", 8},
    {"float8_e4m3fn", "", 1},
    {"float8_e4m3fnuz", "", 1},
    {"float8_e5m2", "", 1},
    {"float8_e5m2fnuz", "", 1},
    {"float8_e8m0fnu", "", 1},
};

}  // namespace

const TensorDtype* find_dtype(std::string_view name) {
  for (const TensorDtype& dtype : kDtypes) {
    if (dtype.name == name) {
      return &dtype;
    }
  }
  return nullptr;
}

const TensorDtype* find_dtype_of_storage(std::string_view storage) {
  for (const TensorDtype& dtype : kDtypes) {
    if (!dtype.storage.empty() && dtype.storage == storage) {
      return &dtype;
    }
  }
  return nullptr;
}

}  // namespace titan::formats
