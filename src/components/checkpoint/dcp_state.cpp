#include "titan/components/checkpoint/dcp_state.h"

#include <algorithm>
#include <array>
#include <utility>

#include "titan/base/errors.h"

namespace titan::components {
namespace {

constexpr std::array kTypes = {
    std::pair{at::kFloat, "float32"},
    std::pair{at::kBFloat16, "bfloat16"},
    std::pair{at::kHalf, "float16"},
    std::pair{at::kDouble, "float64"},
    std::pair{at::kLong, "int64"},
    std::pair{at::kInt, "int32"},
    std::pair{at::kShort, "int16"},
    std::pair{at::kChar, "int8"},
    std::pair{at::kByte, "uint8"},
    std::pair{at::kBool, "bool"},
    std::pair{at::kComplexFloat, "complex64"},
    std::pair{at::kComplexDouble, "complex128"},
    std::pair{at::kUInt16, "uint16"},
    std::pair{at::kUInt32, "uint32"},
    std::pair{at::kUInt64, "uint64"},
    std::pair{at::kFloat8_e4m3fn, "float8_e4m3fn"},
    std::pair{at::kFloat8_e4m3fnuz, "float8_e4m3fnuz"},
    std::pair{at::kFloat8_e5m2, "float8_e5m2"},
    std::pair{at::kFloat8_e5m2fnuz, "float8_e5m2fnuz"},
    std::pair{at::kFloat8_e8m0fnu, "float8_e8m0fnu"},
};

}  // namespace

std::string dcp_key(const formats::DcpPath& path) {
  std::string key;
  for (const auto& part : path) {
    if (!key.empty()) key += '.';
    const auto* text = std::get_if<std::string>(&part);
    key += text != nullptr ? *text : std::to_string(std::get<std::int64_t>(part));
  }
  return key;
}

std::string StateTensor::key() const { return dcp_key(path); }
std::string StateObject::key() const { return dcp_key(path); }

const formats::TensorDtype* dtype_of(at::ScalarType type) {
  const auto known = std::ranges::find(kTypes, type, [](const auto& pair) { return pair.first; });
  return known == kTypes.end() ? nullptr : formats::find_dtype(known->second);
}

std::string_view dtype_name(at::ScalarType type) {
  if (const formats::TensorDtype* dtype = dtype_of(type)) return dtype->name;
  throw RunError(concat("a checkpoint cannot hold tensors of ", c10::toString(type)));
}

std::optional<at::ScalarType> scalar_type_of(std::string_view name) {
  for (const auto& [type, known] : kTypes) {
    if (known == name) return type;
  }
  return std::nullopt;
}

}  // namespace titan::components
