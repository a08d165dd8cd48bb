#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace titan::text {

/// The replacement rules of a SentencePiece model (`precompiled_charsmap`): the size of a double
/// array (Darts-clone), the array, and the replacements, each with a zero byte behind it.
class CharacterMap {
 public:
  struct Rule {
    std::size_t length = 0;  // bytes of the text that are replaced
    std::string_view replacement;
  };

  /// `bytes` may be empty: no rules. Throws RunError "..." naming `file` when they are no such map.
  CharacterMap(std::string_view bytes, const std::string& file);

  /// The longest rule for the beginning of `text`. Throws RunError when the map is damaged.
  std::optional<Rule> find(std::string_view text) const {
    if (text.empty()) return std::nullopt;
    const std::size_t first = static_cast<unsigned char>(text[0]);
    const std::size_t second = text.size() > 1 ? static_cast<unsigned char>(text[1]) : 0;
    if (!beginnings_[first << 8 | second]) return std::nullopt;
    return find_longest(text);
  }

 private:
  void find_beginnings();
  std::optional<Rule> find_longest(std::string_view text) const;
  std::string_view replacement_at(std::uint32_t offset) const;
  [[noreturn]] void fail_damaged() const;

  std::string file_;
  std::vector<std::uint32_t> units_;
  std::string replacements_;
  std::bitset<1 << 16> beginnings_;  // two bytes of text for which there may be a rule
};

}  // namespace titan::text
