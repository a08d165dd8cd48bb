#include "text/tokenizer/character_set.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::uint32_t kLast = 0x10FFFF;
constexpr std::uint32_t kFirstSurrogate = 0xD800;
constexpr std::uint32_t kLastSurrogate = 0xDFFF;

std::string all_characters() {
  std::string all;
  for (std::uint32_t value = 0; value <= kLast; ++value) {
    if (value < kFirstSurrogate || value > kLastSurrogate) append_utf8(value, all);
  }
  return all;
}

const unsigned char* code_units(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

CharacterSet CharacterSet::of_items(std::string_view items) {
  CharacterSet set;
  if (items.empty()) return set;
  const std::string pattern = concat("[", items, "]+");
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_code, void (*)(pcre2_code*)> code(
      pcre2_compile(code_units(pattern), pattern.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset,
                    nullptr),
      pcre2_code_free);
  TITAN_CHECK(code != nullptr, "no items of a class: ", items);
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  static const std::string all = all_characters();
  std::size_t at = 0;
  while (pcre2_match(code.get(), code_units(all), all.size(), at, PCRE2_NO_UTF_CHECK, match.get(),
                     nullptr) > 0) {
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
    const std::string_view run(all.data() + ends[0], ends[1] - ends[0]);
    set.ranges_.push_back({static_cast<std::uint32_t>(decode_utf8(run).value),
                           static_cast<std::uint32_t>(decode_utf8(last_character(run)).value)});
    at = ends[1];
  }
  return set;
}

CharacterSet CharacterSet::complement() const {
  CharacterSet result;
  std::uint32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.first > next) result.ranges_.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLast) result.ranges_.push_back({next, kLast});
  // A run of characters may reach over the surrogates, which no text has; no range begins or ends there.
  for (Range& range : result.ranges_) {
    if (range.first >= kFirstSurrogate && range.first <= kLastSurrogate)
      range.first = kLastSurrogate + 1;
    if (range.last >= kFirstSurrogate && range.last <= kLastSurrogate)
      range.last = kFirstSurrogate - 1;
  }
  std::erase_if(result.ranges_, [](const Range& range) { return range.first > range.last; });
  return result;
}

CharacterSet CharacterSet::united(const CharacterSet& other) const {
  std::vector<Range> all = ranges_;
  all.insert(all.end(), other.ranges_.begin(), other.ranges_.end());
  std::sort(all.begin(), all.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  CharacterSet result;
  for (const Range& range : all) {
    if (result.ranges_.empty() || range.first > result.ranges_.back().last + 1) {
      result.ranges_.push_back(range);
    } else {
      result.ranges_.back().last = std::max(result.ranges_.back().last, range.last);
    }
  }
  return result;
}

CharacterSet CharacterSet::intersected(const CharacterSet& other) const {
  return complement().united(other.complement()).complement();
}

std::string CharacterSet::items() const {
  std::string items;
  for (const Range& range : ranges_) {
    std::array<char, 32> item{};
    std::snprintf(item.data(), item.size(), "\\x{%X}-\\x{%X}", range.first, range.last);
    items += item.data();
  }
  return items;
}

}  // namespace titan::text
