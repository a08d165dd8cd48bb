#include "text/tokenizer/oniguruma_pattern.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <utility>
#include <vector>

#include "text/tokenizer/character_set.h"
#include "text/tokenizer/pattern_reader.h"
#include "text/tokenizer/unicode_property.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::size_t kMaxPattern = 64 << 10;
constexpr std::size_t kMaxSets = 256;
constexpr std::size_t kMaxDepth = 32;  // of classes in classes

bool is_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

std::string hex_escape(char32_t value) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string digits;
  for (; value != 0 || digits.empty(); value >>= 4)
    digits.insert(digits.begin(), kDigits[value & 15]);
  return concat("\\x{", digits, "}");
}

std::string literal(char32_t value) {
  if (value < 0x80 && !std::isalnum(static_cast<int>(value))) return hex_escape(value);
  std::string text;
  append_utf8(value, text);
  return text;
}

/// A union of items of a PCRE2 class and of sets.
struct ClassMembers {
  bool empty() const { return items.empty() && sets.empty(); }

  std::string items;
  std::vector<CharacterSet> sets;
};

class Translator : private PatternReader {
 public:
  using PatternReader::PatternReader;

  std::string translate() {
    if (pattern_.size() > kMaxPattern) refuse("more than 64 KiB");
    while (at_ < pattern_.size()) translate_item();
    return std::move(out_);
  }

 private:
  void copy(std::size_t length) {
    out_ += pattern_.substr(at_, length);
    at_ += length;
  }

  void translate_item() {
    const std::size_t begin = out_.size();
    before_ = std::exchange(last_literal_, 0);
    switch (pattern_[at_]) {
      case '*':
      case '+':
      case '?':
        return copy(1);
      case '{':
        if (translate_repetition()) return;
        break;
      case '(':
        return translate_group();
      case ')':
        return end_group();
      case '[':
        put_set(parse_class());
        break;
      case '\\':
        translate_escape();
        break;
      case '.':
      case '|':
      case '^':
      case '$':
        copy(1);
        break;
      default:
        put_literal(take_character(/*in_class=*/false));
        break;
    }
    repeated_ = begin;
  }

  void translate_group() {
    if (next_is("(?i)") && at_ != 0) refuse("(?i) after the beginning");  // its reach differs
    if (take("(?i)")) {
      out_ += "(?i)";
      ignores_case_ = true;
      return;
    }
    if (take("(?#")) {
      at_ = pattern_.find(')', at_);
      if (at_ == std::string_view::npos) at_ = pattern_.size();
      if (!take(")")) refuse("an open comment");
      return;
    }
    groups_.push_back({out_.size(), ignores_case_});
    for (const std::string_view head :
         {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"}) {
      if (!next_is(head)) continue;
      if (head.ends_with("i:")) ignores_case_ = head == "(?i:";
      return copy(head.size());
    }
    if (take("(?m:")) {
      out_ += "(?s:";          // in Ruby it is m that has . match line ends
    } else if (take("(?<")) {  // a name, which matters to references only
      const std::size_t close = pattern_.find('>', at_);
      if (close == std::string_view::npos) refuse("an open name");
      at_ = close + 1;
      out_ += "(?:";
    } else if (next_is("(?") || next_is("(*")) {
      refuse("this kind of group");
    } else {
      copy(1);
    }
  }

  void end_group() {
    copy(1);
    if (groups_.empty()) return;  // PCRE2 complains
    repeated_ = groups_.back().begin;
    ignores_case_ = groups_.back().ignored_case;
    groups_.pop_back();
  }

  // {n}, {n,}, {n,m}, {,m}; all else is text.
  bool translate_repetition() {
    const std::size_t close = std::min(pattern_.find('}', at_), pattern_.size());
    const std::string_view inside = pattern_.substr(at_ + 1, close - at_ - 1);
    const std::size_t comma = inside.find(',');
    const std::string_view low = inside.substr(0, comma);
    const std::string_view high = comma == std::string_view::npos ? "" : inside.substr(comma + 1);
    if (close == pattern_.size() || (low.empty() && high.empty()) || !is_digits(low) ||
        !is_digits(high)) {
      out_ += "\\{";
      ++at_;
      return false;
    }
    at_ = close + 1;
    out_ +=
        concat("{", low.empty() ? "0" : low, comma == std::string_view::npos ? "" : ",", high, "}");
    // Behind a repetition in braces + repeats it, and so does ? where the number is one.
    const bool is_one_number = comma == std::string_view::npos;
    if (next_is("+") || next_is("*") || (next_is("?") && is_one_number)) {
      out_.insert(repeated_, "(?:");
      out_ += ")";
      copy(1);
    } else if (next_is("?")) {
      copy(1);
    }
    if (next_is("+") || next_is("*") || next_is("?") || next_is("{"))
      refuse("a repetition of a repetition");
    return true;
  }

  // Looks at every character there is, so a hostile pattern may not ask for many.
  const CharacterSet& set_of(const std::string& items) {
    const auto known = sets_.find(items);
    if (known != sets_.end()) return known->second;
    if (sets_.size() >= kMaxSets) refuse(concat("more than ", kMaxSets, " sets"));
    return sets_.emplace(items, CharacterSet::of_items(items)).first->second;
  }

  void add(ClassMembers& members, const CharacterItems& more) {
    if (more.negated) {
      members.sets.push_back(set_of(more.items).complement());
    } else {
      members.items += more.items;
    }
    if (!ignores_case_) return;
    // In a class the variants of all members belong to it: of the letters, also U+0345.
    const auto is_one_of = [&](std::initializer_list<const char*> names) {
      return std::any_of(names.begin(), names.end(), [&](const char* name) {
        return more.items == unicode_property(name)->items;
      });
    };
    if (is_one_of({"L"})) {
      members.items += "\\x{345}";
    } else if (!is_one_of({"N", "Nd", "P", "S", "Z", "space", "xdigit"})) {
      refuse("this set in a class that ignores case");
    }
  }

  CharacterSet all_of(const ClassMembers& members) {
    CharacterSet set = set_of(members.items);
    for (const CharacterSet& other : members.sets) set = set.united(other);
    return set;
  }

  void put_literal(char32_t value) {
    out_ += literal(value);
    if (!ignores_case_) return;
    check_case(value, value);
    last_literal_ =
        value < 0x80 ? static_cast<char32_t>(std::tolower(static_cast<int>(value))) : value;
    if (is_ligature(before_, last_literal_)) refuse("letters that ignore case and have a ligature");
  }

  // Characters whose case PCRE2 folds differently: to several, or since Unicode 15 only.
  void check_case(char32_t first, char32_t last) const {
    static constexpr std::pair<char32_t, char32_t> kOthers[] = {
        {0xDF, 0xDF},     {0x130, 0x130},   {0x149, 0x149},   {0x19B, 0x19B},
        {0x1F0, 0x1F0},   {0x264, 0x264},   {0x2BC, 0x2BC},   {0x2BE, 0x2BE},
        {0x300, 0x3FF},   {0x531, 0x58F},   {0x1C89, 0x1C8A}, {0x1E96, 0x1E9E},
        {0x1F00, 0x1FFF}, {0xA7CB, 0xA7DC}, {0xFB00, 0xFB17}, {0x10D50, 0x10D85}};
    if (!ignores_case_) return;
    for (const auto& [begin, end] : kOthers) {
      if (first <= end && last >= begin) refuse("this character where case is ignored");
    }
  }

  static bool is_ligature(char32_t first, char32_t second) {
    if (first == 's' || first == 0x17F) return second == 's' || second == 't' || second == 0x17F;
    return first == 'f' && (second == 'f' || second == 'i' || second == 'l');
  }

  void put_set(const ClassMembers& members) {
    if (members.sets.empty()) {
      out_ += concat("[", members.items, "]");
      return;
    }
    if (ignores_case_) refuse("set operations in a class that ignores case");
    const CharacterSet set = all_of(members);
    out_ += set.empty() ? "(?!)" : concat("[", set.items(), "]");
  }

  void put_set(const CharacterItems& set) {
    const std::string text = concat(set.negated ? "[^" : "[", set.items, "]");
    out_ += ignores_case_ ? concat("(?-i:", text, ")") : text;  // alone a set has its case
  }

  // A class that begins here. Where it is no plain list, it is one set.
  ClassMembers parse_class() {
    if (++class_depth_ > kMaxDepth) refuse("classes nested this deep");
    ++at_;
    const bool negated = take("^");
    if (next_is("]")) refuse("an empty character class");
    ClassMembers members;
    std::optional<CharacterSet> before;  // what stands in front of &&
    while (!take("]")) {
      if (at_ >= pattern_.size()) refuse("an open character class");
      if (!take("&&")) {
        add_member(members);
        continue;
      }
      if (members.empty()) refuse("nothing in front of &&");
      before = before ? before->intersected(all_of(members)) : all_of(members);
      members = {};
    }
    --class_depth_;
    if (before) {
      if (members.empty()) refuse("nothing behind &&");
      const CharacterSet both = before->intersected(all_of(members));
      return {.items = "", .sets = {negated ? both.complement() : both}};
    }
    if (!negated) return members;
    if (members.sets.empty()) return {.items = "^" + members.items, .sets = {}};
    return {.items = "", .sets = {all_of(members).complement()}};
  }

  void add_member(ClassMembers& members) {
    if (next_is("[:")) return add_posix_bracket(members);
    if (next_is("[")) {
      const ClassMembers inner = parse_class();
      if (inner.items.starts_with('^')) {
        members.sets.push_back(set_of(inner.items));
      } else {
        members.items += inner.items;
        members.sets.insert(members.sets.end(), inner.sets.begin(), inner.sets.end());
      }
      return;
    }
    if (const auto set = take_set(/*in_class=*/true)) return add(members, *set);
    const char32_t first = take_character(/*in_class=*/true);
    members.items += literal(first);
    check_case(first, first);
    if (!next_is("-") || next_is("-]") || next_is("-&&")) return;
    ++at_;
    if (next_is("[") || take_set(/*in_class=*/true)) refuse("a range that ends in a set");
    const char32_t last = take_character(/*in_class=*/true);
    if (last < first) refuse("a range that ends before it begins");
    members.items += "-" + literal(last);
    check_case(first, last);
  }

  void add_posix_bracket(ClassMembers& members) {
    at_ += 2;
    const bool negated = take("^");
    const std::size_t close = std::min(pattern_.find(":]", at_), pattern_.size());
    auto set = posix_bracket(pattern_.substr(at_, close - at_));
    if (!set) refuse("this kind of bracket");
    at_ = close + 2;
    set->negated = negated;
    add(members, *set);
  }

  void translate_escape() {
    if (at_ + 1 >= pattern_.size()) refuse("a \\ at the end");
    if (const auto set = take_set(/*in_class=*/false)) return put_set(*set);
    if (take("\\A")) {
      out_ += "\\A";
    } else if (take("\\z")) {
      out_ += "\\z";
    } else if (take("\\Z")) {
      out_ += "\\Z";
    } else if (next_is("\\b") || next_is("\\B")) {
      const std::string word = concat("[", word_items_alone(), "]");
      const bool at_an_end = pattern_[at_ + 1] == 'b';
      out_ += at_an_end ? concat("(?:(?<=", word, ")(?!", word, ")|(?<!", word, ")(?=", word, "))")
                        : concat("(?:(?<=", word, ")(?=", word, ")|(?<!", word, ")(?!", word, "))");
      at_ += 2;
    } else if (take("\\R")) {
      out_ += R"((?>\r\n|[\n-\r\x{85}\x{2028}\x{2029}]))";
    } else if (take("\\N")) {
      out_ += "[^\\n]";
    } else if (take("\\O")) {
      out_ += "(?s:.)";
    } else {
      put_literal(take_character(/*in_class=*/false));
    }
  }

  struct Group {
    std::size_t begin;
    bool ignored_case;
  };

  std::string out_;
  std::size_t repeated_ = 0;  // where what a repetition would repeat begins in `out_`
  std::vector<Group> groups_;
  std::map<std::string, CharacterSet> sets_;
  bool ignores_case_ = false;
  char32_t last_literal_ = 0;  // where case is ignored
  char32_t before_ = 0;        // the one in front of what is translated
  std::size_t class_depth_ = 0;
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
