#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/tokenizer/string_list.h"

namespace titan::text {

using TokenId = std::uint32_t;

/// Ids at or above this are refused: tables are indexed by id, and no real vocabulary comes near.
inline constexpr TokenId kMaxTokenIds = 1u << 22;

/// The model's own tokens (without added ones): text to id and back. Immutable.
class Vocabulary {
 public:
  /// `tokens[i]` has the id `ids[i]`, below kMaxTokenIds. Throws RunError "..." without a place
  /// when a token or an id comes twice.
  Vocabulary(StringList tokens, std::vector<TokenId> ids);

  std::optional<TokenId> find(std::string_view token) const;
  /// Nothing when no token has this id.
  std::optional<std::string_view> token(TokenId id) const;
  /// Number of tokens.
  std::size_t size() const { return tokens_.size(); }
  /// One more than the largest id.
  TokenId id_limit() const { return static_cast<TokenId>(index_of_id_.size()); }

 private:
  // Open addressing with linear probing; half of the slots at least are free.
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t index = kFree;
  };
  static constexpr std::uint32_t kFree = 0xFFFFFFFF;

  std::size_t slot_for(std::string_view token, std::uint64_t hash) const;

  StringList tokens_;
  std::vector<TokenId> ids_;
  std::vector<std::uint32_t> index_of_id_;
  std::vector<Slot> slots_;
};

}  // namespace titan::text
