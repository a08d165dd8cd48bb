#include "titan/base/printable.h"

#include <algorithm>
#include <cstdint>

namespace titan::base {
namespace {

/// The code point that begins at `at` and its bytes; 0 bytes where that is no UTF-8 (RFC 3629).
struct CodePoint {
  std::uint32_t value = 0;
  std::size_t size = 0;
};

CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return {lead, 1};
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || at + size > text.size()) return {};
  std::uint32_t value = lead & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    const auto next = static_cast<unsigned char>(text[at + i]);
    if ((next & 0xc0U) != 0x80) return {};
    value = (value << 6U) | (next & 0x3fU);
  }
  const bool too_long = (size == 3 && value < 0x800) || (size == 4 && value < 0x10000);
  const bool surrogate = value >= 0xd800 && value < 0xe000;
  return too_long || surrogate || value > 0x10ffff ? CodePoint{} : CodePoint{value, size};
}

bool steers(std::uint32_t value) {
  const bool control = value < 0x20 || (value >= 0x7f && value < 0xa0);
  const bool line_end = value == 0x2028 || value == 0x2029;
  const bool direction = value == 0x200e || value == 0x200f || value == 0x061c ||
                         (value >= 0x202a && value <= 0x202e) ||
                         (value >= 0x2066 && value <= 0x2069);
  return control || line_end || direction;
}

std::string clean(std::string_view text, std::size_t longest, bool keeps_lines) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const auto [value, size] = code_point_at(text, at);
    if (result.size() + std::max<std::size_t>(size, 1) > longest) return result + "...";
    if (value == '\n' && keeps_lines) {
      result += '\n';
      const bool indented = text.substr(at + 1).starts_with("  ");
      if (!indented && at + 1 < text.size()) result += "  ";
    } else if (value == '\n' || value == '\t' || value == '\r') {
      result += ' ';
    } else if (size == 0 || steers(value)) {
      result += '?';
    } else {
      result += text.substr(at, size);
    }
    at += std::max<std::size_t>(size, 1);
  }
  return result;
}

}  // namespace

std::string printable(std::string_view text, std::size_t longest) {
  return clean(text, longest, /*keeps_lines=*/false);
}

std::string printable_lines(std::string_view text, std::size_t longest) {
  return clean(text, longest, /*keeps_lines=*/true);
}

}  // namespace titan::base
