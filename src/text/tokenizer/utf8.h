#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace titan::text {

/// One code point and the number of bytes it takes.
struct CodePoint {
  char32_t value = 0;
  std::size_t length = 0;
};

/// The code point at the front of `text`; length 0 when the bytes there are no UTF-8 (or `text` is
/// empty).
CodePoint decode_utf8(std::string_view text);

/// The code point at `at`, which is moved behind it. The text must be well-formed.
inline char32_t next_code_point(const char*& at) {
  const auto byte = [&](int i) { return static_cast<char32_t>(static_cast<unsigned char>(at[i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) {
    at += 1;
    return lead;
  }
  if (lead < 0xE0) {
    const char32_t value = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
    at += 2;
    return value;
  }
  if (lead < 0xF0) {
    const char32_t value = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    at += 3;
    return value;
  }
  const char32_t value =
      (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  at += 4;
  return value;
}

void append_utf8(char32_t value, std::string& out);

bool is_utf8(std::string_view text);

/// `text` with every maximal ill-formed piece replaced by U+FFFD (Unicode 16, section 3.9, "U+FFFD
/// Substitution of Maximal Subparts"), as Rust's `String::from_utf8_lossy` and Python's
/// `errors="replace"` do.
std::string to_utf8_lossy(std::string_view text);

/// `text` itself where it is UTF-8; else its repair, which is put into `repaired`.
std::string_view as_utf8(std::string_view text, std::string& repaired);

/// Unicode's White_Space property.
bool is_white_space(char32_t value);

/// Bytes of white space at the front of `text`, and at its end. `text` must be well-formed.
std::size_t leading_white_space(std::string_view text);
std::size_t trailing_white_space(std::string_view text);

/// The last character of `text`, which must be well-formed.
std::string_view last_character(std::string_view text);

}  // namespace titan::text
