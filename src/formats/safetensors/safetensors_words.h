#pragma once

#include <string_view>

#include "titan/formats/tensor_dtype.h"

namespace titan::formats {

/// The type behind a word such as "BF16". Null for words that are not read.
const TensorDtype* dtype_of_safetensors_word(std::string_view word);
/// Empty where the format has no word.
std::string_view safetensors_word(const TensorDtype& dtype);

}  // namespace titan::formats
