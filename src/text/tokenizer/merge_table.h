#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "text/tokenizer/hash.h"
#include "text/tokenizer/vocabulary.h"

namespace titan::text {

/// What two neighbouring symbols become, and how early: the lowest rank merges first.
struct Merge {
  static constexpr std::uint32_t kNever = 0xFFFFFFFF;
  std::uint32_t rank = kNever;
  TokenId result = 0;
};

/// The merges of a BPE model by pair of ids: open addressing, 16 bytes a slot, one cache line for
/// most look-ups.
class MergeTable {
 public:
  explicit MergeTable(std::size_t merges) : slots_(std::bit_ceil(2 * merges + 1)) {}

  /// A pair that is set again keeps the later merge.
  void set(TokenId left, TokenId right, Merge merge) {
    Slot& slot = slots_[slot_for(pair_key(left, right))];
    slot = {pair_key(left, right), merge};
  }
  /// Rank kNever when the pair does not merge.
  Merge find(TokenId left, TokenId right) const {
    return slots_[slot_for(pair_key(left, right))].merge;
  }

 private:
  struct Slot {
    std::uint64_t pair = kFree;
    Merge merge;
  };
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};

  static std::uint64_t pair_key(TokenId left, TokenId right) {
    return std::uint64_t{left} << 32 | right;
  }
  std::size_t slot_for(std::uint64_t pair) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = base::mix_bits(pair) & mask;
    while (slots_[at].pair != pair && slots_[at].pair != kFree) at = (at + 1) & mask;
    return at;
  }

  std::vector<Slot> slots_;
};

}  // namespace titan::text
