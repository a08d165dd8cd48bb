#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/vocabulary.h"
#include "text/tokenizer/word_encoder.h"

namespace titan::text {

/// The WordPiece model (Devlin et al. 2019): a word becomes the longest token at its front, then the
/// longest with the prefix "##" at the front of what is left, and so on. One that does not work out,
/// or is too long, is the unknown token as a whole.
class WordPieceEncoder final : public WordEncoder {
 public:
  struct Options {
    std::string unknown = "[UNK]";
    std::string prefix = "##";
    std::size_t max_characters = 100;
  };

  /// `vocabulary` must outlive the encoder.
  WordPieceEncoder(const Vocabulary& vocabulary, Options options);

  /// Throws RunError on an unknown word when the vocabulary has no unknown token.
  void encode(std::string_view word, Workspace& workspace,
              std::vector<TokenId>& ids) const override;

 private:
  bool append_pieces(std::string_view word, Workspace& workspace, std::vector<TokenId>& ids) const;

  const Vocabulary& vocabulary_;
  Options options_;
  std::optional<TokenId> unknown_;
  std::size_t longest_token_ = 0;  // in bytes
};

}  // namespace titan::text
