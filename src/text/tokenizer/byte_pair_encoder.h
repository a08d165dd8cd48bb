#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/pair_merger.h"
#include "text/tokenizer/vocabulary.h"
#include "text/tokenizer/word_encoder.h"

namespace titan::text {

/// The BPE model: a word becomes the tokens of its characters, which then merge.
class BytePairEncoder final : public WordEncoder {
 public:
  struct Options {
    /// Words are bytes, each of which stands for its character of the byte alphabet (GPT-2).
    bool works_on_bytes = false;
    /// A word that is a token as a whole is that token, whatever the merges say.
    bool ignore_merges = false;
    /// Stands for a character that the vocabulary lacks; without it such a one is dropped.
    std::optional<TokenId> unknown;
    /// One `unknown` for a run of such characters.
    bool fuse_unknown = false;
    /// A character that the vocabulary lacks becomes the tokens "<0x..>" of its bytes, if all of
    /// them are there.
    bool byte_fallback = false;
    /// Behind the last character of each word.
    std::string word_end;
  };

  /// `vocabulary` must outlive the encoder. `byte_fallback` needs `works_on_bytes` off.
  BytePairEncoder(const Vocabulary& vocabulary, MergeTable merges, Options options);

  void encode(std::string_view word, Workspace& workspace,
              std::vector<TokenId>& ids) const override;

 private:
  using ByteTable = std::array<std::optional<TokenId>, 256>;

  std::optional<TokenId> whole_word(std::string_view word, Workspace& workspace) const;
  void split_into_bytes(std::string_view word, std::vector<TokenId>& symbols) const;
  void split_into_characters(std::string_view word, std::vector<TokenId>& symbols) const;
  std::optional<TokenId> character_id(std::string_view character, bool is_last) const;
  bool append_fallback(std::string_view character, bool is_last,
                       std::vector<TokenId>& symbols) const;

  const Vocabulary& vocabulary_;
  PairMerger merger_;
  Options options_;
  ByteTable id_of_byte_;       // works_on_bytes: of the byte's character
  ByteTable id_of_last_byte_;  // the same with word_end behind it
  ByteTable id_of_fallback_;   // of "<0x..>"
};

}  // namespace titan::text
