#include "text/tokenizer/pattern_reader.h"

#include <cctype>
#include <utility>

#include "text/tokenizer/regex_error.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {

void PatternReader::refuse(std::string_view what) const {
  throw RegexError(concat("not available in this build yet: ", what,
                          " in a regular expression (character ", at_, " of ", pattern_, ")"));
}

bool PatternReader::take(std::string_view text) {
  if (!next_is(text)) return false;
  at_ += text.size();
  return true;
}

std::optional<CharacterItems> PatternReader::take_set(bool in_class) {
  if (!next_is("\\") || at_ + 1 >= pattern_.size()) return std::nullopt;
  const char escaped = pattern_[at_ + 1];
  const char kind = static_cast<char>(std::tolower(static_cast<unsigned char>(escaped)));
  std::optional<CharacterItems> set;
  if (kind == 'p') return take_property(in_class);
  if (kind == 's') set = unicode_property("space");
  if (kind == 'd') set = unicode_property("Nd");
  if (kind == 'h') set = unicode_property("xdigit");
  if (kind == 'w') set = CharacterItems{in_class ? word_items_in_class() : word_items_alone()};
  if (!set) return std::nullopt;
  set->negated = kind != escaped;
  at_ += 2;
  return set;
}

CharacterItems PatternReader::take_property(bool in_class) {
  bool negated = next_is("\\P");
  const std::size_t close = pattern_.find('}', at_);
  if (pattern_.substr(at_ + 2, 1) != "{" || close == std::string_view::npos)
    refuse("\\p without {name}");
  std::string_view name = pattern_.substr(at_ + 3, close - at_ - 3);
  if (name.starts_with('^')) {
    negated = !negated;
    name.remove_prefix(1);
  }
  auto set = in_class ? unicode_property(name) : unicode_property_alone(name);
  if (!set) refuse(concat("the property ", name));
  set->negated = set->negated != negated;
  at_ = close + 1;
  return *set;
}

char32_t PatternReader::take_character(bool in_class) {
  if (!next_is("\\")) return take_code_point();
  static constexpr std::pair<char, char32_t> kControls[] = {
      {'t', 9}, {'n', 10}, {'v', 11}, {'f', 12}, {'r', 13}, {'a', 7}, {'e', 27}};
  const char escaped = at_ + 1 < pattern_.size() ? pattern_[at_ + 1] : 'z';
  for (const auto& [letter, value] : kControls) {
    if (escaped != letter) continue;
    at_ += 2;
    return value;
  }
  if (in_class && take("\\b")) return 8;
  if (take("\\u")) return take_hex(4, 4);
  if (take("\\x{")) {
    const char32_t value = take_hex(1, 8);
    if (!take("}")) refuse("this \\x{}");
    return value;
  }
  if (next_is("\\x")) return take_bytes();
  if (std::isalnum(static_cast<unsigned char>(escaped)))
    refuse(concat("\\", std::string(1, escaped)));
  ++at_;
  return take_code_point();
}

char32_t PatternReader::take_code_point() {
  const CodePoint character = decode_utf8(pattern_.substr(at_));
  if (character.length == 0) refuse("an end, or what is no UTF-8");
  at_ += character.length;
  return character.value;
}

char32_t PatternReader::take_hex(std::size_t least, std::size_t most) {
  char32_t value = 0;
  std::size_t digits = 0;
  for (; digits < most && at_ < pattern_.size(); ++digits, ++at_) {
    const auto digit = static_cast<unsigned char>(pattern_[at_]);
    if (!std::isxdigit(digit)) break;
    value = value * 16 + (std::isdigit(digit) ? digit - '0' : std::tolower(digit) - 'a' + 10);
  }
  if (digits < least || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
    refuse("this number of a character");
  return value;
}

// \xHH is a byte: those of one character follow each other.
char32_t PatternReader::take_bytes() {
  std::string bytes;
  while (decode_utf8(bytes).length == 0 && bytes.size() < 4 && take("\\x"))
    bytes += static_cast<char>(take_hex(1, 2));
  const CodePoint character = decode_utf8(bytes);
  if (character.length == 0) refuse("bytes (\\xHH) that are no UTF-8");
  return character.value;
}

}  // namespace titan::text
