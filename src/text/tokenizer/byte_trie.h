#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/tokenizer/hash.h"
#include "text/tokenizer/vocabulary.h"

namespace titan::text {

/// Strings by their bytes, to find all that a text begins with. The steps from node to node are in one
/// table with open addressing, 16 bytes a slot.
class ByteTrie {
 public:
  using Node = std::uint32_t;
  static constexpr Node kRoot = 0;

  /// Room for strings of so many bytes together.
  explicit ByteTrie(std::size_t bytes) : slots_(std::bit_ceil(2 * bytes + 1)) {}

  void add(std::string_view text, TokenId id) {
    Node node = kRoot;
    for (const char byte : text) {
      Slot& slot = slots_[slot_for(key(node, byte))];
      if (slot.key == kFree) {
        slot = {key(node, byte), static_cast<Node>(ids_.size())};
        ids_.emplace_back();
      }
      node = slot.next;
    }
    ids_[node] = id;
  }
  /// The node that `byte` leads to; kRoot when there is none.
  Node step(Node node, char byte) const {
    const Slot& slot = slots_[slot_for(key(node, byte))];
    return slot.key == kFree ? kRoot : slot.next;
  }
  /// The string that ends at `node`.
  std::optional<TokenId> id(Node node) const { return ids_[node]; }

 private:
  struct Slot {
    std::uint64_t key = kFree;
    Node next = kRoot;
  };
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};

  static std::uint64_t key(Node node, char byte) {
    return std::uint64_t{node} << 8 | static_cast<unsigned char>(byte);
  }
  std::size_t slot_for(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = base::mix_bits(key) & mask;
    while (slots_[at].key != key && slots_[at].key != kFree) at = (at + 1) & mask;
    return at;
  }

  std::vector<Slot> slots_;
  std::vector<std::optional<TokenId>> ids_ = {std::nullopt};  // by node
};

}  // namespace titan::text
