#include "text/tokenizer/character_map.h"

#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"
#include "titan/base/little_endian.h"

namespace titan::text {
namespace {

// A unit of the double array.
constexpr std::uint32_t offset_of(std::uint32_t unit) {
  return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}
constexpr std::uint32_t label_of(std::uint32_t unit) { return unit & (1u << 31 | 0xFF); }
constexpr bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1) != 0; }
constexpr std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7FFFFFFF; }

std::uint32_t unit_at_front(std::string_view bytes) {
  return static_cast<std::uint32_t>(base::get_little(bytes.substr(0, 4)));
}

}  // namespace

CharacterMap::CharacterMap(std::string_view bytes, const std::string& file) : file_(file) {
  if (bytes.empty()) return;
  if (bytes.size() < 4) fail_damaged();
  const std::uint32_t size = unit_at_front(bytes);
  bytes.remove_prefix(4);
  if (size > bytes.size() || size % 4 != 0 || size == 0) fail_damaged();
  for (std::size_t at = 0; at < size; at += 4) units_.push_back(unit_at_front(bytes.substr(at)));
  replacements_ = bytes.substr(size);
  if (!is_utf8(replacements_)) fail_damaged();
  find_beginnings();
}

// Most characters of most texts have no rule: two bytes tell.
void CharacterMap::find_beginnings() {
  const auto leads_on = [&](std::uint32_t node, std::uint32_t byte) {
    const std::uint32_t at = node ^ byte;
    return at < units_.size() && label_of(units_[at]) == byte;
  };
  const std::uint32_t root = offset_of(units_[0]);
  for (std::uint32_t first = 0; first < 256; ++first) {
    if (!leads_on(root, first)) continue;
    const std::uint32_t unit = units_[root ^ first];
    const std::uint32_t node = (root ^ first) ^ offset_of(unit);
    for (std::uint32_t second = 0; second < 256; ++second)
      if (has_leaf(unit) || leads_on(node, second)) beginnings_.set(first << 8 | second);
  }
}

std::optional<CharacterMap::Rule> CharacterMap::find_longest(std::string_view text) const {
  std::optional<std::uint32_t> longest;
  std::size_t length = 0;
  std::uint32_t node = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size() || label_of(units_[node]) != byte) break;
    const std::uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (node >= units_.size()) fail_damaged();
    longest = value_of(units_[node]);
    length = i + 1;
  }
  if (!longest) return std::nullopt;
  // A rule for half a character would leave the other half behind.
  if (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80)
    fail_damaged();
  return Rule{length, replacement_at(*longest)};
}

std::string_view CharacterMap::replacement_at(std::uint32_t offset) const {
  if (offset >= replacements_.size()) fail_damaged();
  const std::string_view text = std::string_view(replacements_).substr(offset);
  if ((static_cast<unsigned char>(text[0]) & 0xC0) == 0x80) fail_damaged();
  return text.substr(0, text.find('\0'));
}

void CharacterMap::fail_damaged() const {
  throw RunError(concat("no SentencePiece model: its map of characters is damaged (", file_, ")"));
}

}  // namespace titan::text
