#include "formats/safetensors/safetensors_words.h"

#include "titan/formats/safetensors/safetensors.h"

namespace titan::formats {
namespace {

struct Word {
  std::string_view word;
  std::string_view dtype;
};

constexpr Word kWords[] = {
    {"F32", "float32"},
    {"BF16", "bfloat16"},
    {"F16", "float16"},
    {"F64", "float64"},
    {"I64", "int64"},
    {"I32", "int32"},
    {"I16", "int16"},
    {"I8", "int8"},
    {"U8", "uint8"},
    {"U16", "uint16"},
    {"U32", "uint32"},
    {"U64", "uint64"},
    {"BOOL", "bool"},
    {"C64", "complex64"},
    {"F8_E4M3", "float8_e4m3fn"},
    {"F8_E4M3FNUZ", "float8_e4m3fnuz"},
    {"F8_E5M2", "float8_e5m2"},
    {"F8_E5M2FNUZ", "float8_e5m2fnuz"},
    {"F8_E8M0", "float8_e8m0fnu"},
};

}  // namespace

const TensorDtype* dtype_of_safetensors_word(std::string_view word) {
  for (const Word& known : kWords) {
    if (known.word == word) return find_dtype(known.dtype);
  }
  return nullptr;
}

std::string_view safetensors_word(const TensorDtype& dtype) {
  for (const Word& known : kWords) {
    if (known.dtype == dtype.name) return known.word;
  }
  return "";
}

bool has_safetensors_word(const TensorDtype& dtype) { return !safetensors_word(dtype).empty(); }

}  // namespace titan::formats
