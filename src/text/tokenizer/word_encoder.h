#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/pair_merger.h"
#include "text/tokenizer/vocabulary.h"

namespace titan::text {

/// Turns one word into token ids: the model of a tokenizer. Immutable; each thread brings its own
/// Workspace.
class WordEncoder {
 public:
  /// Buffers that are reused from word to word.
  struct Workspace {
    PairMerger::Workspace merger;
    std::vector<TokenId> symbols;
    std::string characters;
    /// The best way to get to a byte of the word: over the token that begins at `begin`.
    struct End {
      double score = 0;
      std::size_t begin = 0;
      TokenId id = 0;
      bool is_reached = false;
    };
    std::vector<End> best_ends;
    std::vector<std::size_t> cuts;
  };

  virtual ~WordEncoder() = default;
  /// Appends the ids of `word` (not empty, UTF-8 unless the encoder works on bytes).
  virtual void encode(std::string_view word, Workspace& workspace,
                      std::vector<TokenId>& ids) const = 0;
};

}  // namespace titan::text
