#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/tokenizer/vocabulary.h"

namespace titan::text {

/// Strings with a value each, found by their beginnings: a trie over bytes whose edges lie in one
/// hash table. Immutable once filled.
class PieceTrie {
 public:
  using Node = std::uint32_t;
  static constexpr Node kRoot = 0;
  static constexpr Node kNoNode = 0xFFFFFFFF;
  static constexpr TokenId kNoValue = 0xFFFFFFFF;
  /// Strings need no more nodes than this, the sum of their bytes at worst.
  static constexpr std::size_t kMaxNodes = 1 << 24;

  /// `expected_bytes`: the sum of the strings' sizes at most.
  explicit PieceTrie(std::size_t expected_bytes);

  void add(std::string_view text, TokenId value);

  /// The node that `byte` leads to, or kNoNode.
  Node step(Node node, unsigned char byte) const {
    if (node == kRoot) return first_[byte];
    return edges_[slot_for(node, byte)].child;
  }
  /// Value of the string that ends at `node`, or kNoValue.
  TokenId value(Node node) const { return values_[node]; }

 private:
  struct Edge {
    std::uint32_t key = 0;  // node and byte; the root's own are in first_, so 0 is free
    Node child = kNoNode;
  };

  std::size_t slot_for(Node node, unsigned char byte) const {
    const std::uint32_t key = node << 8 | byte;
    std::size_t at = (key * 0x9E3779B97F4A7C15u) >> shift_;
    while (edges_[at].key != key && edges_[at].key != 0) at = (at + 1) & (edges_.size() - 1);
    return at;
  }

  std::array<Node, 256> first_;
  std::vector<Edge> edges_;
  int shift_;
  std::vector<TokenId> values_;
};

/// The longest string of `trie` that `text` begins with; 0 bytes: none.
struct PieceMatch {
  std::size_t bytes = 0;
  TokenId value = PieceTrie::kNoValue;
};
PieceMatch longest_match(const PieceTrie& trie, std::string_view text);

}  // namespace titan::text
