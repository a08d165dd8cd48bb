#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/added_tokens.h"

namespace titan::text {

/// What a `tokenizer_config.json` says about special tokens.
struct TokenizerConfig {
  /// What says so, for messages.
  std::string path;
  std::optional<std::string> bos;
  std::optional<std::string> eos;
  /// In the order in which they are to be added: the named ones (`bos_token`, ...), then
  /// `added_tokens_decoder`.
  std::vector<AddedToken> special_tokens;
};

/// Parses the bytes of a file. Throws RunError naming `path` and the place in it.
TokenizerConfig parse_tokenizer_config(std::string_view bytes, const std::string& path);

}  // namespace titan::text
