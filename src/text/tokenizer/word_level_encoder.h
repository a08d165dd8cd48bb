#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/word_encoder.h"

namespace titan::text {

/// The WordLevel model: a word is one token, or the unknown token.
class WordLevelEncoder final : public WordEncoder {
 public:
  /// `vocabulary` must outlive the encoder.
  WordLevelEncoder(const Vocabulary& vocabulary, std::string unknown)
      : vocabulary_(vocabulary),
        unknown_(std::move(unknown)),
        unknown_id_(vocabulary.find(unknown_)) {}

  /// Throws RunError on an unknown word when the vocabulary has no unknown token.
  void encode(std::string_view word, Workspace& workspace,
              std::vector<TokenId>& ids) const override;

 private:
  const Vocabulary& vocabulary_;
  std::string unknown_;
  std::optional<TokenId> unknown_id_;
};

}  // namespace titan::text
