#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace titan::text {

/// Characters as the items of a PCRE2 class ("\p{L}\x{1C89}"), or all but those.
struct CharacterItems {
  std::string items;
  bool negated = false;
};

/// \p{name} as Oniguruma has it in Unicode 16: general categories ("L", "Uppercase_Letter", "C"), scripts
/// ("Han") but those that came after Unicode 14, POSIX brackets ("alpha"), and some binary properties ("Emoji").
/// Case, blanks, - and _ do not matter. Nothing for another name.
std::optional<CharacterItems> unicode_property(std::string_view name);

/// The same outside of a class, where \p{Word} differs as \w does.
std::optional<CharacterItems> unicode_property_alone(std::string_view name);

/// [:name:]: as the property, but for "punct", which has symbols too. The name is in lower case.
std::optional<CharacterItems> posix_bracket(std::string_view name);

/// \w in a class, and \w alone, which has the numbers of Latin-1 too.
std::string word_items_in_class();
std::string word_items_alone();

}  // namespace titan::text
