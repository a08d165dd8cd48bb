#include "config/argument_value.h"

#include <charconv>

#include "config/value_text.h"
#include "titan/base/errors.h"

namespace titan::config {
namespace {

ArgumentValue complaint(std::string_view expected, std::string_view text) {
  return {{}, concat("must be ", expected, ", got ", quoted(text))};
}

template <class Number>
ArgumentValue read_number(std::string_view text, std::string_view expected) {
  // from_chars knows no plus sign; a sign behind it is no number.
  const bool plus = text.starts_with('+') && !text.starts_with("+-");
  const std::string_view digits = text.substr(plus ? 1 : 0);
  Number number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole = end == digits.data() + digits.size();
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
      return {split_at_commas(text), ""};
    default:
      return {std::string(text), ""};
  }
}

ArgumentValue read_list_arguments(const Option& option, std::span<const std::string> texts) {
  if (option.nullable && texts.size() == 1 && texts.front() == "None") {
    return {};
  }
  StringLists lists;
  for (const std::string& text : texts) {
    lists.push_back(split_at_commas(text));
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
