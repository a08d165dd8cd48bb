#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer/character_map.h"
#include "text/tokenizer/piece_trie.h"
#include "text/tokenizer/sentencepiece_model.h"

namespace titan::text {

/// Rewrites text as a SentencePiece model wants it: replacement rules, blanks, "▁". Immutable.
class SentencePieceNormalizer {
 public:
  /// `user_defined`: the pieces that stay as they are wherever they stand; must outlive this.
  /// Throws RunError.
  SentencePieceNormalizer(const SentencePieceModel& model, const PieceTrie& user_defined);

  /// Replaces `out` by the rewritten `text` (UTF-8).
  void apply(std::string_view text, std::string& out) const;

 private:
  struct Prefix {
    std::string_view text;   // what becomes of it
    std::size_t length = 0;  // bytes of the text it takes
  };
  Prefix rewrite_prefix(std::string_view text) const;
  void append_escaped(std::string_view part, std::string& out) const;

  const PieceTrie& user_defined_;
  CharacterMap map_;
  bool add_dummy_prefix_;
  bool whitespace_as_suffix_;
  bool remove_extra_whitespaces_;
  std::string blank_;  // "▁", or " " where blanks are not escaped
};

}  // namespace titan::text
