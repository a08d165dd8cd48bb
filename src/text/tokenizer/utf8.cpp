#include "text/tokenizer/utf8.h"

#include <cstdint>
#include <cstring>

namespace titan::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct LeadByte {
  std::size_t length;  // 0: no sequence begins with it
  unsigned char second_low;
  unsigned char second_high;
};

// Unicode 16, table 3-7: the second byte's range excludes overlong forms, surrogates and values
// past U+10FFFF.
LeadByte classify_lead(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

struct Piece {
  std::size_t length;  // bytes of the sequence, or of the ill-formed piece
  bool well_formed;
};

Piece measure(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const LeadByte lead = classify_lead(byte(0));
  if (lead.length <= 1) return {1, lead.length == 1};
  if (text.size() < 2 || byte(1) < lead.second_low || byte(1) > lead.second_high) return {1, false};
  for (std::size_t i = 2; i < lead.length; ++i) {
    if (i >= text.size() || (byte(i) & 0xC0) != 0x80) return {i, false};
  }
  return {lead.length, true};
}

std::size_t ascii_prefix(std::string_view text) {
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if (word & 0x8080808080808080u) break;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
  return i;
}

// Length of the longest well-formed prefix.
std::size_t utf8_prefix(std::string_view text) {
  std::size_t i = 0;
  for (;;) {
    i += ascii_prefix(text.substr(i));
    if (i == text.size()) return i;
    const Piece piece = measure(text.substr(i));
    if (!piece.well_formed) return i;
    i += piece.length;
  }
}

}  // namespace

CodePoint decode_utf8(std::string_view text) {
  if (text.empty()) return {};
  const Piece piece = measure(text);
  if (!piece.well_formed) return {};
  const auto lead = static_cast<unsigned char>(text[0]);
  if (piece.length == 1) return {lead, 1};
  char32_t value = lead & (0x7F >> piece.length);
  for (std::size_t i = 1; i < piece.length; ++i) {
    value = value << 6 | (static_cast<unsigned char>(text[i]) & 0x3F);
  }
  return {value, piece.length};
}

void append_utf8(char32_t value, std::string& out) {
  if (value < 0x80) {
    out += static_cast<char>(value);
    return;
  }
  const int tail_bytes = value < 0x800 ? 1 : value < 0x10000 ? 2 : 3;
  out += static_cast<char>((0xFF00 >> (tail_bytes + 1) & 0xFF) | value >> 6 * tail_bytes);
  for (int i = tail_bytes - 1; i >= 0; --i)
    out += static_cast<char>(0x80 | (value >> 6 * i & 0x3F));
}

bool is_utf8(std::string_view text) { return utf8_prefix(text) == text.size(); }

std::string_view as_utf8(std::string_view text, std::string& repaired) {
  if (is_utf8(text)) return text;
  repaired = to_utf8_lossy(text);
  return repaired;
}

std::string to_utf8_lossy(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 8);
  for (;;) {
    const std::size_t good = utf8_prefix(text);
    out += text.substr(0, good);
    text.remove_prefix(good);
    if (text.empty()) return out;
    out += kReplacement;
    text.remove_prefix(measure(text).length);
  }
}

bool is_white_space(char32_t value) {
  return (value >= 0x09 && value <= 0x0D) || value == 0x20 || value == 0x85 || value == 0xA0 ||
         value == 0x1680 || (value >= 0x2000 && value <= 0x200A) || value == 0x2028 ||
         value == 0x2029 || value == 0x202F || value == 0x205F || value == 0x3000;
}

std::size_t leading_white_space(std::string_view text) {
  std::size_t length = 0;
  for (;;) {
    const CodePoint point = decode_utf8(text.substr(length));
    if (point.length == 0 || !is_white_space(point.value)) return length;
    length += point.length;
  }
}

std::string_view last_character(std::string_view text) {
  std::size_t begin = text.size();
  while (begin > 0 && (static_cast<unsigned char>(text[--begin]) & 0xC0) == 0x80) {
  }
  return text.substr(begin);
}

std::size_t trailing_white_space(std::string_view text) {
  const std::size_t size = text.size();
  while (!text.empty()) {
    const std::string_view last = last_character(text);
    if (!is_white_space(decode_utf8(last).value)) break;
    text.remove_suffix(last.size());
  }
  return size - text.size();
}

}  // namespace titan::text
