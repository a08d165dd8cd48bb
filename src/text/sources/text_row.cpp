#include "text/sources/text_row.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "titan/base/errors.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {
namespace {

// A member that is wanted, and where it goes.
struct Wanted {
  const std::string* name = nullptr;
  std::string* value = nullptr;
  bool is_found = false;
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_of_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '+' ||
         c == '.';
}

/// Numbers as JSON has them, of any size.
bool is_number(std::string_view word) {
  const auto digits = [&] {
    std::size_t count = 0;
    while (count < word.size() && is_digit(word[count])) ++count;
    word.remove_prefix(count);
    return count > 0;
  };
  const auto one_of = [&](std::string_view any) {
    if (word.empty() || any.find(word.front()) == std::string_view::npos) return false;
    word.remove_prefix(1);
    return true;
  };
  one_of("-");
  const bool begins_with_zero = word.starts_with('0');
  const std::size_t before = word.size();
  if (!digits() || (begins_with_zero && before - word.size() > 1)) return false;
  if (one_of(".") && !digits()) return false;
  if (one_of("eE")) {
    one_of("+-");
    if (!digits()) return false;
  }
  return word.empty();
}

/// Takes the wanted members of a row and goes past the others. Those need only be nested as JSON is:
/// Python's json.dumps writes NaN, Infinity and lone surrogates, and no number is too large for a
/// field that nobody reads.
class TextRowReader {
 public:
  TextRowReader(std::string_view line, const RowFields& fields, Document& document)
      : line_(line), text_{&fields.text_or_response(), &document.text} {
    if (fields.prompt) prompt_ = {&*fields.prompt, &document.prompt};
  }

  void read() {
    if (peek() != '{') {
      const char* kind = pass_value();
      throw RunError(
          concat("a row must be an object with a string '", *text_.name, "', not ", kind));
    }
    ++at_;
    if (peek() == '}') {
      ++at_;
    } else {
      do {
        read_member();
      } while (goes_on('}'));
    }
    skip_space();
    if (at_ < line_.size()) fail("there is more behind the object");
    for (const Wanted* wanted : {&prompt_, &text_}) {
      if (wanted->name && !wanted->is_found)
        throw RunError(concat("the row has no '", *wanted->name, "'"));
    }
  }

 private:
  [[noreturn]] void fail(std::string_view what) const { fail(at_, what); }
  [[noreturn]] static void fail(std::size_t at, std::string_view what) {
    throw RunError(concat("invalid JSON at byte ", at + 1, " of the line: ", what));
  }

  void skip_space() {
    while (at_ < line_.size() && is_space(line_[at_])) ++at_;
  }

  char peek() {
    skip_space();
    if (at_ == line_.size()) fail("the line ends too early");
    return line_[at_];
  }

  /// Behind a value in brackets: whether another one comes.
  bool goes_on(char closing) {
    const char c = peek();
    if (c != ',' && c != closing) fail(concat("there should be ',' or '", closing, "'"));
    ++at_;
    return c == ',';
  }

  void read_member() {
    Wanted* wanted = find_wanted(pass_key());
    if (!wanted) {
      pass_value();
      return;
    }
    if (peek() != '"') {
      const char* kind = pass_value();
      throw RunError(concat("'", *wanted->name, "' must be a string, not ", kind));
    }
    const std::size_t at = at_;
    *wanted->value = decode(at, pass_string());
    wanted->is_found = true;
  }

  /// The key as it is written, in its quotes.
  std::string_view pass_key() {
    if (peek() != '"') fail("there should be a key in quotes");
    const std::string_view key = pass_string();
    if (peek() != ':') fail("there should be ':' behind the key");
    ++at_;
    return key;
  }

  Wanted* find_wanted(std::string_view key) {
    std::string name(key.substr(1, key.size() - 2));
    if (key.find('\\') != std::string_view::npos) {
      const auto decoded = nlohmann::json::parse(key, nullptr, /*allow_exceptions=*/false);
      if (!decoded.is_string()) return nullptr;  // no name of ours
      name = decoded.get<std::string>();
    }
    for (Wanted* wanted : {&text_, &prompt_}) {
      if (wanted->name && *wanted->name == name) return wanted;
    }
    return nullptr;
  }

  /// A string as it is written, in its quotes.
  std::string_view pass_string() {
    const std::size_t begin = at_++;
    while (at_ < line_.size() && line_[at_] != '"') at_ += line_[at_] == '\\' ? 2 : 1;
    if (at_ >= line_.size()) {
      at_ = line_.size();
      fail("a string has no closing quote");
    }
    ++at_;
    return line_.substr(begin, at_ - begin);
  }

  /// What a string means that stands at byte `at`.
  static std::string decode(std::size_t at, std::string_view string) {
    try {
      auto value = nlohmann::json::parse(string);
      return std::move(value.get_ref<std::string&>());
    } catch (const nlohmann::json::parse_error& error) {
      // "...: syntax error while parsing value - invalid string: ...; last read: '...'": what was
      // read can be as long as the line.
      std::string_view message = error.what();
      message = message.substr(0, message.find("; last read"));
      const std::size_t begin = message.rfind("invalid string");
      if (begin != std::string_view::npos) message.remove_prefix(begin);
      fail(at + error.byte - 1, message.substr(0, 200));
    }
  }

  /// Goes past a value; says what it is.
  const char* pass_value() {
    const char first = peek();
    const char* kind = nullptr;
    std::string closing;  // of the brackets that are open
    do {
      const char c = peek();
      if (c == '{' || c == '[') {
        ++at_;
        closing += c == '{' ? '}' : ']';
        if (peek() == closing.back()) {
          ++at_;
          closing.pop_back();
        } else {
          if (c == '{') pass_key();
          continue;
        }
      } else if (c == '"') {
        pass_string();
      } else {
        kind = pass_word();
      }
      while (!closing.empty()) {
        if (goes_on(closing.back())) {
          if (closing.back() == '}') pass_key();
          break;
        }
        closing.pop_back();
      }
    } while (!closing.empty());
    return first == '{' ? "an object" : first == '[' ? "a list" : first == '"' ? "a string" : kind;
  }

  const char* pass_word() {
    const std::size_t begin = at_;
    while (at_ < line_.size() && is_of_word(line_[at_])) ++at_;
    const std::string_view word = line_.substr(begin, at_ - begin);
    if (word == "null") return "null";
    if (word == "true" || word == "false") return "true or false";
    if (word == "NaN" || word == "Infinity" || word == "-Infinity" || is_number(word)) {
      return "a number";
    }
    fail(begin, "there should be a value");
  }

  std::string_view line_;
  std::size_t at_ = 0;
  Wanted text_;
  Wanted prompt_;  // without a name where there are no prompts
};

}  // namespace

RowFields fields_of(const SourceOptions& options) {
  return {options.text_field, options.prompt_field, options.response_field};
}

void parse_text_row(std::string_view line, const RowFields& fields, Document& document) {
  document.prompt.clear();
  document.tokens.clear();
  document.is_tokens = false;
  document.begins = document.ends = true;
  TextRowReader(line, fields, document).read();
}

void parse_text_row(std::string_view line, const RowFields& fields, const std::string& path,
                    const LinePosition& position, Document& document) {
  try {
    parse_text_row(line, fields, document);
  } catch (const RunError& error) {
    throw BadRow(concat(place_of(path, position), ": ", error.what()));
  }
}

}  // namespace titan::text
