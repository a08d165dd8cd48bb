#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/tokenizer/pair_merger.h"
#include "text/tokenizer/piece_trie.h"
#include "text/tokenizer/sentencepiece_model.h"
#include "text/tokenizer/word_cache.h"

namespace titan::text {

/// The BPE of SentencePiece: of all neighbours whose joined text is a piece, the pair with the
/// highest score merges first. Immutable.
class SentencePieceBpe {
 public:
  class Workspace {
    friend class SentencePieceBpe;
    PairMerger::Workspace merger_;
    WordCache cache_;
    std::vector<TokenId> symbols_;  // of the whole text
    std::vector<TokenId> word_;     // of one word
  };

  /// Both must outlive this. Throws RunError when the model needs what is not built.
  SentencePieceBpe(const SentencePieceModel& model, const PieceTrie& user_defined);

  /// Appends the ids of `text` (UTF-8, below 4 GiB) and where each piece ends.
  void encode(std::string_view text, Workspace& workspace, std::vector<TokenId>& ids,
              std::vector<std::uint32_t>& ends) const;

 private:
  // Symbols are the ids of pieces and, above them, characters that are no piece, pieces of the user
  // that were found as such and never merge, and one for all characters that no piece contains.
  struct Symbol {
    TokenId id;
    std::uint32_t bytes;  // 0: one character
  };
  struct Builder;

  void encode_word(std::string_view word, Workspace& workspace) const;
  void split(std::string_view word, std::vector<TokenId>& symbols) const;

  const SentencePieceModel& model_;
  const PieceTrie& user_defined_;
  std::vector<Symbol> symbols_;
  std::unordered_map<char32_t, TokenId> characters_;
  std::vector<TokenId> frozen_;  // by id of the user's piece
  TokenId other_character_ = 0;
  PairMerger merger_;
  bool may_cut_before_metaspace_ = false;
};

}  // namespace titan::text
