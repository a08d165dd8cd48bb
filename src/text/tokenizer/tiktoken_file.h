#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer/tokenizer_config.h"
#include "text/tokenizer/tokenizer_file.h"

namespace titan::text {

/// Whether the bytes begin as the text that the `tiktoken` package reads: base64, a blank, a number.
bool is_tiktoken_file(std::string_view bytes);

/// Llama 3's original `tokenizer.model`: on each line the bytes of a token in base64 and its rank, which
/// is its id. The file says neither how text is cut nor which tokens are special: the pattern is the
/// family's. Throws RunError naming `path` and the line, and for the ranks of other known families.
TokenizerFile parse_tiktoken_file(std::string_view bytes, const std::string& path);

/// The family's 256 special tokens, whose ids follow the ranks, under the names of Llama 3.1.
TokenizerConfig llama3_special_tokens();

}  // namespace titan::text
