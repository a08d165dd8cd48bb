#pragma once

#include "titan/config/choice.h"

namespace titan::config {

/// How the bytes of a data set are to be read; kAuto goes by the file's extension.
enum class DataFormat { kAuto, kJsonl, kText, kParquet, kMegatron, kLlmC, kU16, kU32 };
constexpr auto words(DataFormat) {
  return word_list("auto", "jsonl", "text", "parquet", "megatron", "llmc", "u16", "u32");
}

}  // namespace titan::config
