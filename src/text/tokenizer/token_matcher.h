#pragma once

#include <bitset>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/vocabulary.h"

namespace titan::text {

/// Finds the leftmost of a set of strings in a text, the longest where several begin at one place.
class TokenMatcher {
 public:
  struct Entry {
    std::string content;
    TokenId id = 0;
  };
  struct Match {
    std::size_t begin = 0;
    std::size_t end = 0;
    TokenId id = 0;
  };

  TokenMatcher() = default;
  /// Contents are distinct and not empty.
  explicit TokenMatcher(std::vector<Entry> entries);

  bool empty() const { return entries_.empty(); }
  /// The first match at or after `start`.
  std::optional<Match> find(std::string_view text, std::size_t start) const;

 private:
  std::optional<Match> match_at(std::string_view text, std::size_t begin) const;

  std::vector<Entry> entries_;  // sorted by content
  std::bitset<256> first_bytes_;
};

}  // namespace titan::text
