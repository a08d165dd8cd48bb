#include "config/argument_value.h"

#include <charconv>

#include "config/value_text.h"
#include "config/written_list.h"
#include "titan/base/errors.h"

namespace titan::config {
namespace {

ArgumentValue complaint(std::string_view expected, std::string_view text) {
  return {{}, concat("must be ", expected, ", got ", quoted(text))};
}

bool is_digit(char c) { return '0' <= c && c <= '9'; }

/// What Python's int() and float() see in a text: blanks around it are none, nor is an underscore
/// between two digits.
std::string without_python_spelling(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\r\v\f";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return "";
  text = text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool separates = text[i] == '_' && i > 0 && is_digit(text[i - 1]) &&
                           i + 1 < text.size() && is_digit(text[i + 1]);
    if (!separates) plain += text[i];
  }
  return plain;
}

template <class Number>
ArgumentValue read_number(std::string_view text, std::string_view expected) {
  const std::string plain = without_python_spelling(text);
  // from_chars knows no plus sign, and a NaN with a payload; a sign behind a plus is no number.
  const bool plus = plain.starts_with('+') && !plain.starts_with("+-");
  const std::string_view digits = std::string_view(plain).substr(plus ? 1 : 0);
  Number number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole =
      end == digits.data() + digits.size() && digits.find('(') == std::string_view::npos;
  if (whole && error == std::errc::result_out_of_range) {
    return {{}, concat("is out of range: ", quoted(text), " does not fit into 64 bits")};
  }
  return whole && error == std::errc() ? ArgumentValue{number, ""} : complaint(expected, text);
}

ArgumentValue read_bool(std::string_view text) {
  if (text == "true" || text == "True" || text == "1") {
    return {true, ""};
  }
  if (text == "false" || text == "False" || text == "0") {
    return {false, ""};
  }
  return complaint("true or false", text);
}

StringList read_list(std::string_view text) {
  std::optional<StringList> list = read_written_list(text);
  return list ? *std::move(list) : split_at_commas(text);
}

}  // namespace

ArgumentValue read_argument(const Option& option, std::string_view text) {
  if (option.nullable && text == "None") {
    return {};
  }
  const std::string_view or_none = option.nullable ? " or None" : "";
  switch (option.type) {
    case ValueType::kBool:
      return read_bool(text);
    case ValueType::kInteger:
      return read_number<std::int64_t>(text, concat("an integer", or_none));
    case ValueType::kFloat:
      return read_number<double>(text, concat("a number", or_none));
    case ValueType::kStringList:
      return {read_list(text), ""};
    default:
      return {std::string(text), ""};
  }
}

ArgumentValue read_list_arguments(const Option& option, std::span<const std::string> texts) {
  if (option.nullable && texts.size() == 1 && texts.front() == "None") {
    return {};
  }
  if (texts.size() == 1) {
    if (auto lists = read_written_lists(texts.front())) return {*std::move(lists), ""};
  }
  StringLists lists;
  for (const std::string& text : texts) {
    lists.push_back(read_list(text));
  }
  return {std::move(lists), ""};
}

StringList split_at_commas(std::string_view text) {
  StringList list;
  for (;;) {
    const std::size_t comma = text.find(',');
    list.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) {
      return list;
    }
    text.remove_prefix(comma + 1);
  }
}

}  // namespace titan::config
