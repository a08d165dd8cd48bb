#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "text/tokenizer/byte_trie.h"
#include "text/tokenizer/vocabulary.h"
#include "text/tokenizer/word_encoder.h"

namespace titan::text {

/// The Unigram model (Kudo 2018): of all ways to cut a word into tokens the one with the largest sum of
/// scores, found as the `tokenizers` package does, in float64, the earlier of equal ones.
class UnigramEncoder final : public WordEncoder {
 public:
  struct Options {
    /// Stands for a run of characters that the vocabulary lacks.
    std::optional<TokenId> unknown;
    /// Such a run becomes the tokens "<0x..>" of its bytes, if all of them are there.
    bool byte_fallback = false;
  };

  /// Token i of `vocabulary`, which must outlive the encoder, has the score `scores[i]`.
  UnigramEncoder(const Vocabulary& vocabulary, std::vector<double> scores, Options options);

  /// Throws RunError on a character that the vocabulary lacks when there is no unknown token.
  void encode(std::string_view word, Workspace& workspace,
              std::vector<TokenId>& ids) const override;

 private:
  void find_best_ends(std::string_view word, Workspace& workspace) const;
  void append(std::string_view piece, std::vector<TokenId>& ids) const;
  TokenId unknown_for(std::string_view piece) const;

  const Vocabulary& vocabulary_;
  std::vector<double> scores_;
  Options options_;
  ByteTrie trie_;
  double unknown_score_ = 0;
};

}  // namespace titan::text
