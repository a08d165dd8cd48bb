#include "text/tokenizer/oniguruma_pattern.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "text/tokenizer/unicode_additions.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::size_t kMaxPattern = 64 << 10;

// PCRE2's own \s has U+180E too.
constexpr std::string_view kWhiteSpace =
    R"(\x09-\x0d\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// Without C and Cn: a character that is new since Unicode 14 is in PCRE2's.
constexpr std::array<std::string_view, 35> kCategories = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N", "Nd",
    "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm",
    "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cs"};

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string translate() {
    if (pattern_.size() > kMaxPattern) refuse("more than 64 KiB");
    while (at_ < pattern_.size()) translate_item();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw RegexError(concat("not available in this build yet: ", what,
                            " in a regular expression (character ", at_, " of ", pattern_, ")"));
  }

  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }

  void copy(std::size_t length) {
    out_ += pattern_.substr(at_, length);
    at_ += length;
  }

  void translate_item() {
    switch (pattern_[at_]) {
      case '\\':
        return translate_escape();
      case '[':
        return translate_class();
      case '(':
        return translate_group();
      case '{':
        return translate_repetition();
      case '^':
      case '$':
        refuse("an anchor");
      default:
        copy(1);
    }
  }

  void translate_group() {
    if (next_is("(?i)") && at_ != 0) refuse("(?i) after the beginning");  // its reach differs
    for (const std::string_view head :
         {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:", "(?i)"}) {
      if (next_is(head)) return copy(head.size());
    }
    if (next_is("(?") || next_is("(*")) refuse("this kind of group");
    copy(1);
  }

  // {n}, {n,}, {n,m}; what a ? or + behind it means differs.
  void translate_repetition() {
    const std::size_t close = pattern_.find('}', at_);
    if (close == std::string_view::npos) refuse("a single {");
    const std::string_view inside = pattern_.substr(at_ + 1, close - at_ - 1);
    const std::string_view low = inside.substr(0, inside.find(','));
    const std::string_view high = inside.substr(std::min(inside.size(), low.size() + 1));
    const auto is_digits = [](std::string_view text) {
      return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
    };
    if (low.empty() || !is_digits(low) || !is_digits(high)) refuse("this repetition");
    copy(close - at_ + 1);
    if (next_is("?") || next_is("+")) refuse("a repetition with ? or + behind it");
  }

  void translate_class() {
    copy(1);
    if (next_is("^")) copy(1);
    if (next_is("]")) refuse("an empty character class");
    in_class_ = true;
    while (!next_is("]")) {
      if (at_ >= pattern_.size()) refuse("an open character class");
      if (next_is("[") || next_is("&&")) refuse("set operations in a character class");
      if (next_is("\\")) {
        translate_escape();
      } else {
        copy(1);
      }
    }
    in_class_ = false;
    copy(1);
  }

  void translate_escape() {
    if (at_ + 1 >= pattern_.size()) refuse("a \\ at the end");
    const char escaped = pattern_[at_ + 1];
    switch (escaped) {
      case 's':
        return put_set(kWhiteSpace, false, 2);
      case 'S':
        return put_set(kWhiteSpace, true, 2);
      case 'd':
        return put_set(category_items("Nd"), false, 2);
      case 'D':
        return put_set(category_items("Nd"), true, 2);
      case 'p':
        return translate_property(false);
      case 'P':
        return translate_property(true);
      case 'v':
        out_ += "\\x0b";
        at_ += 2;
        return;
      case 'r':
      case 'n':
      case 't':
      case 'f':
      case 'x':
        return copy(2);
      default:
        break;
    }
    if (std::isalnum(static_cast<unsigned char>(escaped))) refuse(concat("\\", escaped));
    copy(2);
  }

  void translate_property(bool negated) {
    const std::size_t close = pattern_.find('}', at_);
    if (pattern_.substr(at_ + 2, 1) != "{" || close == std::string_view::npos)
      refuse("\\p without {name}");
    std::string_view name = pattern_.substr(at_ + 3, close - at_ - 3);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    if (std::find(kCategories.begin(), kCategories.end(), name) == kCategories.end()) {
      refuse(concat("the property ", name));
    }
    put_set(category_items(name), negated, close + 1 - at_);
  }

  static std::string category_items(std::string_view name) {
    return concat("\\p{", name, "}", unicode_additions(name));
  }

  // Writes a set of characters in place of `consumed` bytes of the pattern.
  void put_set(std::string_view items, bool negated, std::size_t consumed) {
    if (in_class_ && negated) refuse("a negated set in a character class");
    if (in_class_) {
      out_ += items;
    } else {
      out_ += concat(negated ? "[^" : "[", items, "]");
    }
    at_ += consumed;
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

}  // namespace

std::string to_pcre2_pattern(std::string_view pattern) { return Translator(pattern).translate(); }

std::string literal_pattern(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (std::ispunct(static_cast<unsigned char>(c))) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace titan::text
