#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace titan::components {

/// One code point and the number of bytes it takes.
struct CodePoint {
  char32_t value = 0;
  std::size_t length = 0;
};

/// The code point at the front of `text`; length 0 when the bytes there are no UTF-8 (or `text` is
/// empty).
CodePoint decode_utf8(std::string_view text);

void append_utf8(char32_t value, std::string& out);

bool is_utf8(std::string_view text);

/// `text` with every maximal ill-formed piece replaced by U+FFFD (Unicode 16, section 3.9, "U+FFFD
/// Substitution of Maximal Subparts"), as Rust's `String::from_utf8_lossy` and Python's
/// `errors="replace"` do.
std::string to_utf8_lossy(std::string_view text);

/// Unicode's White_Space property.
bool is_white_space(char32_t value);

}  // namespace titan::components
