#include "text/tokenizer/precompiled_charsmap.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "text/tokenizer/base64.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::size_t kLongestReplacement = 256;  // in bytes; NFKC needs 33
constexpr std::size_t kLongestCluster = 5;        // in bytes; of longer ones each character counts

std::uint32_t read_unit(std::string_view bytes, std::size_t at) {
  std::uint32_t unit = 0;
  for (std::size_t i = 0; i < 4; ++i)
    unit |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return unit;
}

// A unit of the trie: Darts-clone's layout.
bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1) == 1; }
std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7FFFFFFFu; }
std::uint32_t label_of(std::uint32_t unit) { return unit & (1u << 31 | 0xFF); }
std::uint32_t offset_of(std::uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};

// Extend a cluster since Unicode 15.1 to 17; utf8proc 2.8 knows 15.0.
constexpr Range kNewMarks[] = {
    {0x897, 0x897},     {0x1ACF, 0x1ADD},   {0x1AE0, 0x1AEB},   {0x10D69, 0x10D6D},
    {0x10EFA, 0x10EFC}, {0x113B8, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5},
    {0x113C7, 0x113CA}, {0x113CC, 0x113D0}, {0x113D2, 0x113D2}, {0x113E1, 0x113E2},
    {0x11B60, 0x11B67}, {0x11F5A, 0x11F5A}, {0x1611E, 0x1612F}, {0x1E5EE, 0x1E5EF},
    {0x1E6E3, 0x1E6E3}, {0x1E6E6, 0x1E6E6}, {0x1E6EE, 0x1E6EF}, {0x1E6F5, 0x1E6F5}};
// Begins a cluster with what follows, since Unicode 16; and does so no longer.
constexpr char32_t kTuluTigalariRepha = 0x113D1;
constexpr char32_t kZanabazarClusterInitialRa = 0x11A3A;

bool is_break(char32_t last, char32_t next, utf8proc_int32_t& state) {
  const auto breaks = [](char32_t left, char32_t right) {
    return utf8proc_grapheme_break(static_cast<utf8proc_int32_t>(left),
                                   static_cast<utf8proc_int32_t>(right));
  };
  const bool answer = utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(last),
                                                       static_cast<utf8proc_int32_t>(next), &state);
  const bool is_new_mark =
      std::any_of(std::begin(kNewMarks), std::end(kNewMarks),
                  [&](Range range) { return next >= range.first && next <= range.last; });
  if (is_new_mark) return breaks(last, U'\u0301');
  if (last == kTuluTigalariRepha) return breaks(U'\u0600', next);
  if (last == kZanabazarClusterInitialRa) return breaks(U'a', next);
  return answer;
}

// The length of the first grapheme cluster. Which pictographs a ZWJ joins has changed since, but these
// clusters are too long to be looked up, unless a table had a rule for the copyright sign.
std::size_t first_cluster(std::string_view text) {
  CodePoint last = decode_utf8(text);
  std::size_t length = last.length;
  utf8proc_int32_t state = 0;
  while (length < text.size()) {
    const CodePoint next = decode_utf8(text.substr(length));
    if (is_break(last.value, next.value, state)) break;
    length += next.length;
    last = next;
  }
  return length;
}

}  // namespace

PrecompiledCharsmap::PrecompiledCharsmap(std::string_view base64) {
  const auto bytes = decode_base64(base64);
  if (!bytes) throw RunError("the table of rules is no base64");
  const std::string_view table = *bytes;
  if (table.size() < 4) throw RunError("the table of rules is cut off");
  const std::size_t size = read_unit(table, 0);
  if (size % 4 != 0 || size == 0 || size > table.size() - 4)
    throw RunError("the table of rules is damaged");
  for (std::size_t at = 4; at < 4 + size; at += 4) units_.push_back(read_unit(table, at));
  texts_ = table.substr(4 + size);
  if (!is_utf8(texts_)) throw RunError("the table of rules has replacements that are no UTF-8");
}

std::string_view PrecompiledCharsmap::replacement(std::string_view piece) const {
  std::uint32_t at = offset_of(units_[0]);
  for (const char c : piece) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) break;
    at ^= byte;
    if (at >= units_.size() || label_of(units_[at]) != byte) break;
    const std::uint32_t unit = units_[at];
    at ^= offset_of(unit);
    if (at >= units_.size()) break;
    if (!has_leaf(unit)) continue;
    const std::size_t begin = value_of(units_[at]);
    if (begin > texts_.size() || (begin < texts_.size() && (texts_[begin] & 0xC0) == 0x80))
      throw RunError("the tokenizer's table of rules is damaged");
    const std::string_view rest = std::string_view(texts_).substr(begin);
    const std::string_view with = rest.substr(0, rest.find('\0'));
    if (with.size() > kLongestReplacement)
      throw RunError(concat(
          "not available in this build yet: a rule of the tokenizer's table that puts more than ",
          kLongestReplacement, " bytes"));
    return with;
  }
  return {};
}

bool PrecompiledCharsmap::apply(std::string_view text, std::string& out) const {
  std::string rewritten;
  bool changes = false;
  const auto rewrite = [&](std::string_view piece) {
    const std::string_view with = replacement(piece);
    changes = changes || with.data() != nullptr;
    if (with.data() != nullptr) rewritten += with;
    return with.data() != nullptr;
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view cluster = text.substr(at, first_cluster(text.substr(at)));
    at += cluster.size();
    if (cluster.size() <= kLongestCluster && rewrite(cluster)) continue;
    for (std::size_t i = 0; i < cluster.size();) {
      const std::string_view character = cluster.substr(i, decode_utf8(cluster.substr(i)).length);
      if (!rewrite(character)) rewritten += character;
      i += character.size();
    }
  }
  if (changes) out = std::move(rewritten);
  return changes;
}

}  // namespace titan::text
