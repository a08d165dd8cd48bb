#include "components/weights/scalar_types.h"

#include <string_view>
#include <utility>

namespace titan::components {
namespace {

constexpr std::pair<std::string_view, at::ScalarType> kTypes[] = {
    {"float32", at::kFloat},
    {"bfloat16", at::kBFloat16},
    {"float16", at::kHalf},
    {"float64", at::kDouble},
    {"int64", at::kLong},
    {"int32", at::kInt},
    {"int16", at::kShort},
    {"int8", at::kChar},
    {"uint8", at::kByte},
    {"bool", at::kBool},
    {"complex64", at::kComplexFloat},
    {"complex128", at::kComplexDouble},
    {"uint16", at::kUInt16},
    {"uint32", at::kUInt32},
    {"uint64", at::kUInt64},
    {"float8_e4m3fn", at::kFloat8_e4m3fn},
    {"float8_e4m3fnuz", at::kFloat8_e4m3fnuz},
    {"float8_e5m2", at::kFloat8_e5m2},
    {"float8_e5m2fnuz", at::kFloat8_e5m2fnuz},
    {"float8_e8m0fnu", at::kFloat8_e8m0fnu},
};

}  // namespace

std::optional<at::ScalarType> scalar_type_of(const TensorDtype& dtype) {
  for (const auto& [name, type] : kTypes) {
    if (name == dtype.name) return type;
  }
  return std::nullopt;
}

const TensorDtype* dtype_of(at::ScalarType type) {
  for (const auto& [name, known] : kTypes) {
    if (known == type) return find_dtype(name);
  }
  return nullptr;
}

}  // namespace titan::components
