#pragma once

#include <string_view>
#include <vector>

#include "text/tokenizer/piece_trie.h"
#include "text/tokenizer/sentencepiece_model.h"

namespace titan::text {

/// Cuts text into the pieces with the highest sum of scores (Kudo 2018, "Subword Regularization"),
/// in the order and precision of the `sentencepiece` package 0.2.3, so that ties fall alike. Immutable.
class UnigramEncoder {
 public:
  class Workspace {
    friend class UnigramEncoder;
    struct Node {
      TokenId id;
      std::uint32_t begin;  // of the best piece that ends here
      float score;          // of the best path up to here
    };
    std::vector<Node> nodes_;
  };

  explicit UnigramEncoder(const SentencePieceModel& model);

  /// Appends the ids of `text` (UTF-8, below 4 GiB) and where each piece ends.
  void encode(std::string_view text, Workspace& workspace, std::vector<TokenId>& ids,
              std::vector<std::uint32_t>& ends) const;

 private:
  static void offer(Workspace::Node& node, float score, std::uint32_t begin, TokenId id);

  PieceTrie trie_;
  TokenId unknown_;
  std::vector<float> scores_;  // by id
  float lowest_;               // of the scores of normal pieces
};

}  // namespace titan::text
