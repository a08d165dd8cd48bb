#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "components/tokenizer/json_document.h"
#include "components/tokenizer/string_list.h"
#include "components/tokenizer/vocabulary.h"

namespace titan::components {

/// The content of a `tokenizer.json`. The two large tables, /model/vocab (when it is an object) and
/// /model/merges, are read straight into compact lists; everything else is in `document`.
struct TokenizerFile {
  std::string path;
  Json document;
  StringList tokens;
  std::vector<TokenId> token_ids;
  /// Left and right half of each merge, in turn: merge i is `merge_halves[2 * i]` and
  /// `merge_halves[2 * i + 1]`.
  StringList merge_halves;
};

/// Parses the bytes of a file. Throws RunError naming `path` and the place in it.
TokenizerFile parse_tokenizer_file(std::string_view bytes, const std::string& path);

}  // namespace titan::components
