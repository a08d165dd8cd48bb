#pragma once

#include <string>

namespace titan::text {

/// Sets of characters as the Rust crates behind the `tokenizers` package define them, each with the
/// version of Unicode it was made from.

/// A character that the StripAccents normaliser removes: general category M as of Unicode 9.
bool is_stripped_accent(char32_t value);

/// A character that the BertNormalizer removes with accents: general category Mn as of Unicode 8.
bool is_stripped_nonspacing_mark(char32_t value);

/// A character that the BertNormalizer removes when it cleans text: categories Cc, Cf and Co as of
/// Unicode 8, but for tab and line ends.
bool is_cleaned_control(char32_t value);

/// The characters that the Punctuation pre-tokeniser cuts at - ASCII punctuation and symbols, and
/// category P as of Unicode 8 - as a character class "[...]".
const std::string& punctuation_class();

/// Characters with a numeric type (category N) as of Unicode 17, as a character class.
const std::string& numeric_class();

/// Characters of words, \w of Unicode Technical Standard 18, annex C, as of Unicode 16, as the
/// items of a character class (without the brackets).
const std::string& word_class_items();

/// The lower-case form of one character as of Unicode 17; U+0130 is the caller's (it becomes two).
char32_t lower_case(char32_t value);

}  // namespace titan::text
