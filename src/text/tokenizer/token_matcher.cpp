#include "text/tokenizer/token_matcher.h"

#include <algorithm>
#include <utility>

namespace titan::text {

TokenMatcher::TokenMatcher(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.content < b.content; });
  for (const Entry& entry : entries_)
    first_bytes_.set(static_cast<unsigned char>(entry.content[0]));
}

std::optional<TokenMatcher::Match> TokenMatcher::find(std::string_view text,
                                                      std::size_t start) const {
  if (entries_.empty()) return std::nullopt;
  for (std::size_t at = start; at < text.size(); ++at) {
    if (!first_bytes_[static_cast<unsigned char>(text[at])]) continue;
    if (auto match = match_at(text, at)) return match;
  }
  return std::nullopt;
}

// Narrows the sorted list to the entries that agree with the text so far, byte by byte. The
// shortest of them comes first.
std::optional<TokenMatcher::Match> TokenMatcher::match_at(std::string_view text,
                                                          std::size_t begin) const {
  std::optional<Match> longest;
  auto low = entries_.begin();
  auto high = entries_.end();
  for (std::size_t depth = 0; begin + depth < text.size(); ++depth) {
    const auto byte = static_cast<unsigned char>(text[begin + depth]);
    const auto byte_of = [depth](const Entry& entry) {
      return static_cast<unsigned char>(entry.content[depth]);
    };
    low =
        std::partition_point(low, high, [&](const Entry& entry) { return byte_of(entry) < byte; });
    high =
        std::partition_point(low, high, [&](const Entry& entry) { return byte_of(entry) == byte; });
    if (low == high) break;
    if (low->content.size() == depth + 1) {
      longest = Match{begin, begin + depth + 1, low->id};
      if (++low == high) break;
    }
  }
  return longest;
}

}  // namespace titan::text
