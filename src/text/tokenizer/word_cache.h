#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "text/tokenizer/hash.h"
#include "text/tokenizer/vocabulary.h"

namespace titan::text {

/// Remembers the ids of recent short words: natural text repeats them. A fixed 2 MiB, one cache
/// line an entry; a word that falls on another's place replaces it. One thread.
class WordCache {
 public:
  /// Longer words, in bytes, are never remembered.
  static constexpr std::size_t kMaxWord = 22;

  /// Nothing (an empty span) when the word is not remembered.
  std::span<const TokenId> find(std::string_view word, std::uint64_t hash) const {
    const Entry& entry = entries_[hash % kEntries];
    if (entry.length != word.size() || std::memcmp(entry.word, word.data(), word.size()) != 0)
      return {};
    return {entry.ids, entry.count};
  }

  void remember(std::string_view word, std::uint64_t hash, std::span<const TokenId> ids) {
    if (word.size() > kMaxWord || ids.empty() || ids.size() > kMaxIds) return;
    Entry& entry = entries_[hash % kEntries];
    entry.length = static_cast<std::uint8_t>(word.size());
    entry.count = static_cast<std::uint8_t>(ids.size());
    std::memcpy(entry.word, word.data(), word.size());
    std::copy(ids.begin(), ids.end(), entry.ids);
  }

 private:
  static constexpr std::size_t kEntries = 1 << 15;
  static constexpr std::size_t kMaxIds = 10;

  struct alignas(64) Entry {
    std::uint8_t length = 0;  // 0: free
    std::uint8_t count = 0;
    char word[kMaxWord];
    TokenId ids[kMaxIds];
  };
  static_assert(sizeof(Entry) == 64);

  std::unique_ptr<Entry[]> entries_ = std::make_unique<Entry[]>(kEntries);
};

}  // namespace titan::text
