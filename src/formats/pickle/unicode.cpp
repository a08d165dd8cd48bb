#include "formats/pickle/unicode.h"

#include <cstddef>
#include <cstdint>

namespace titan::formats {
namespace {

unsigned char byte_at(std::string_view bytes, std::size_t i) {
  return static_cast<unsigned char>(bytes[i]);
}

/// Length of the character that starts with this byte; 0 for a byte that starts none.
std::size_t character_length(unsigned char first) {
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 3;
  return first < 0xf5 ? 4 : 0;
}

}  // namespace

bool is_python_text(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const unsigned char first = byte_at(bytes, i);
    const std::size_t length = character_length(first);
    if (length == 0 || length > bytes.size() - i) {
      return false;
    }
    std::uint32_t character = first;
    for (std::size_t k = 1; k < length; ++k) {
      const unsigned char next = byte_at(bytes, i + k);
      if ((next & 0xc0) != 0x80) {
        return false;
      }
      character = (character << 6) | (next & 0x3f);
    }
    // The marks of the first byte are still in `character`: 0xe0 << 12, 0xf0 << 18.
    if (length == 3 && character < 0xe0800) {
      return false;
    }
    if (length == 4 && (character < 0x3c10000 || character > 0x3d0ffff)) {
      return false;
    }
    i += length;
  }
  return true;
}

bool is_class_name(std::string_view name) {
  constexpr std::size_t kLongest = 255;
  return !name.empty() && name.size() <= kLongest && is_python_text(name) &&
         name.find('\n') == std::string_view::npos;
}

bool to_latin1(std::string_view text, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const unsigned char first = byte_at(text, i);
    if (first < 0x80) {
      out.push_back(text[i]);
    } else if (first <= 0xc3) {
      out.push_back(static_cast<char>(((first & 0x03) << 6) | (byte_at(text, ++i) & 0x3f)));
    } else {
      return false;
    }
  }
  return true;
}

std::string from_latin1(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      text.push_back(c);
    } else {
      text.push_back(static_cast<char>(0xc0 | (byte >> 6)));
      text.push_back(static_cast<char>(0x80 | (byte & 0x3f)));
    }
  }
  return text;
}

}  // namespace titan::formats
