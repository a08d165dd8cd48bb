#include "text/tokenizer/vocabulary.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "text/tokenizer/hash.h"
#include "titan/base/errors.h"

namespace titan::text {

Vocabulary::Vocabulary(StringList tokens, std::vector<TokenId> ids)
    : tokens_(std::move(tokens)), ids_(std::move(ids)) {
  TITAN_CHECK(tokens_.size() == ids_.size(), "every token has an id");
  const TokenId largest = ids_.empty() ? 0 : *std::max_element(ids_.begin(), ids_.end());
  TITAN_CHECK(largest < kMaxTokenIds, "token ids are checked where they are read");
  index_of_id_.assign(ids_.empty() ? 0 : largest + 1, kFree);
  slots_.resize(std::bit_ceil(2 * tokens_.size() + 1));
  for (std::uint32_t i = 0; i < tokens_.size(); ++i) {
    const std::uint64_t hash = hash_bytes(tokens_[i]);
    Slot& slot = slots_[slot_for(tokens_[i], hash)];
    if (slot.index != kFree) throw RunError(concat("token '", tokens_[i], "' comes twice"));
    slot = {static_cast<std::uint32_t>(hash), i};
    std::uint32_t& index = index_of_id_[ids_[i]];
    if (index != kFree) {
      throw RunError(concat("tokens '", tokens_[index], "' and '", tokens_[i],
                            "' have the same id ", ids_[i]));
    }
    index = i;
  }
}

std::size_t Vocabulary::slot_for(std::string_view token, std::uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  const auto tag = static_cast<std::uint32_t>(hash);
  std::size_t at = (hash >> 32) & mask;
  while (slots_[at].index != kFree &&
         (slots_[at].hash != tag || tokens_[slots_[at].index] != token)) {
    at = (at + 1) & mask;
  }
  return at;
}

std::optional<TokenId> Vocabulary::find(std::string_view token) const {
  const std::uint32_t index = slots_[slot_for(token, hash_bytes(token))].index;
  if (index == kFree) return std::nullopt;
  return ids_[index];
}

std::optional<std::string_view> Vocabulary::token(TokenId id) const {
  if (id >= index_of_id_.size() || index_of_id_[id] == kFree) return std::nullopt;
  return tokens_[index_of_id_[id]];
}

}  // namespace titan::text
