#include "text/tokenizer/piece_trie.h"

#include <bit>

#include "titan/base/errors.h"

namespace titan::text {

PieceTrie::PieceTrie(std::size_t expected_bytes)
    : edges_(std::bit_ceil(2 * expected_bytes + 2)),
      shift_(64 - std::countr_zero(edges_.size())),
      values_(1, kNoValue) {
  TITAN_CHECK(expected_bytes < kMaxNodes, "the caller checks the size");
  first_.fill(kNoNode);
}

void PieceTrie::add(std::string_view text, TokenId value) {
  Node node = kRoot;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    Node next = step(node, byte);
    if (next == kNoNode) {
      next = static_cast<Node>(values_.size());
      values_.push_back(kNoValue);
      if (node == kRoot) {
        first_[byte] = next;
      } else {
        edges_[slot_for(node, byte)] = {node << 8 | byte, next};
      }
    }
    node = next;
  }
  values_[node] = value;
}

PieceMatch longest_match(const PieceTrie& trie, std::string_view text) {
  PieceMatch longest;
  PieceTrie::Node node = PieceTrie::kRoot;
  for (std::size_t i = 0; i < text.size(); ++i) {
    node = trie.step(node, static_cast<unsigned char>(text[i]));
    if (node == PieceTrie::kNoNode) break;
    if (trie.value(node) != PieceTrie::kNoValue) longest = {i + 1, trie.value(node)};
  }
  return longest;
}

}  // namespace titan::text
