#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer/json_document.h"
#include "text/tokenizer/string_list.h"
#include "text/tokenizer/vocabulary.h"

namespace titan::text {

/// Stands in the document for a /model/vocab that is a list; for other tables stands `true`.
inline constexpr const char* kPiecesMark = "pieces";

/// The content of a `tokenizer.json`, or of vocabulary files put into that form. The two large tables, /model/vocab (when it is an object) and
/// /model/merges, are read straight into compact lists, as is the /model/vocab of Unigram, a list; everything else is in `document`.
struct TokenizerFile {
  std::string path;
  Json document;
  StringList tokens;
  std::vector<TokenId> token_ids;
  /// Of Unigram's tokens, whose ids are their numbers.
  std::vector<double> scores;
  /// Left and right half of each merge, in turn: merge i is `merge_halves[2 * i]` and
  /// `merge_halves[2 * i + 1]`.
  StringList merge_halves;
  /// Ranks of the merges, lowest first; without them merge i has rank i.
  std::vector<std::uint32_t> merge_ranks;
  /// The files that the tables come from, where that is not `path`.
  std::string vocabulary_path;
  std::string merges_path;

  /// Where the vocabulary and the i-th merge stand, for messages.
  std::string vocabulary_place() const;
  std::string merge_place(std::size_t i) const;
};

/// Parses the bytes of a file. Throws RunError naming `path` and the place in it.
TokenizerFile parse_tokenizer_file(std::string_view bytes, const std::string& path);

/// Reads a `vocab.json`, an object of tokens and their ids, into the lists of `file`. Throws
/// RunError naming `path` and the place in it.
void parse_vocabulary_json(std::string_view bytes, const std::string& path, TokenizerFile& file);

}  // namespace titan::text
