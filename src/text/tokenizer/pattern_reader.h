#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "text/tokenizer/unicode_property.h"

namespace titan::text {

/// Reads a pattern in Oniguruma's syntax from the front: what stands for a character or for a set of them.
class PatternReader {
 public:
  explicit PatternReader(std::string_view pattern) : pattern_(pattern) {}

 protected:
  /// Throws RegexError "not available in this build yet: what" with the place.
  [[noreturn]] void refuse(std::string_view what) const;

  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool take(std::string_view text);
  /// An escape that stands for a set (\w, \p{L}, ...), or nothing.
  std::optional<CharacterItems> take_set(bool in_class);
  /// A character that stands for itself, or an escape that stands for one.
  char32_t take_character(bool in_class);

  std::string_view pattern_;
  std::size_t at_ = 0;

 private:
  CharacterItems take_property(bool in_class);
  char32_t take_code_point();
  char32_t take_hex(std::size_t least, std::size_t most);
  char32_t take_bytes();
};

}  // namespace titan::text
