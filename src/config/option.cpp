#include "titan/config/option.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>

#include "config/home_folder.h"
#include "config/nearest.h"
#include "config/value_text.h"
#include "titan/base/errors.h"

namespace titan::config {
namespace {

/// "a, b or c"
std::string listed(const std::vector<std::string_view>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    text += i == 0 ? "" : i + 1 == words.size() ? " or " : ", ";
    text += quoted(words[i]);
  }
  return text;
}

std::string complaint_about_number(const Range& range, double number, const std::string& text) {
  if (range.contains(number)) {
    return "";
  }
  const std::string rule = range.text();
  return concat("must be ", rule.empty() ? "a finite number" : rule, ", got ", text);
}

}  // namespace

bool Range::contains(double number) const {
  if (std::isnan(number) || (std::isinf(number) && !infinity_allowed)) {
    return false;
  }
  if ((or_value && number == *or_value) || (or_negative && number < 0)) {
    return true;
  }
  const bool above = min_open ? number > min : number >= min;
  const bool below = max_open ? number < max : number <= max;
  return above && below;
}

std::string Range::text() const {
  const bool bounded_below = std::isfinite(min);
  const bool bounded_above = std::isfinite(max);
  std::string text;
  if (bounded_below && bounded_above) {
    text = concat("in ", min_open ? "(" : "[", min, ", ", max, max_open ? ")" : "]");
  } else if (bounded_below) {
    text = concat(min_open ? "greater than " : "at least ", min);
  }
  return or_negative ? "negative or " + text : or_value ? concat(*or_value, " or ", text) : text;
}

std::string Option::complaint_about(const Value& value) const {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    return complaint_about_number(range, static_cast<double>(*integer), value_text(value));
  }
  if (const auto* number = std::get_if<double>(&value)) {
    return complaint_about_number(range, *number, value_text(value));
  }
  StringList words;
  if (const auto* word = std::get_if<std::string>(&value)) {
    if (holds != nullptr && !holds(*word)) {
      return concat("must be ", rule, ", got ", quoted(*word));
    }
    words = {*word};
  } else if (const auto* list = std::get_if<StringList>(&value)) {
    words = *list;
  } else if (const auto* lists = std::get_if<StringLists>(&value)) {
    for (const StringList& each : *lists) words.insert(words.end(), each.begin(), each.end());
  }
  for (const std::string& word : words) {
    if (word.find('\0') != std::string::npos || !is_utf8(word)) {
      return "must be UTF-8 text without NUL";
    }
    if (const std::string complaint = is_path ? complaint_about_home(word) : "";
        !complaint.empty()) {
      return complaint;
    }
    if (!choices.empty() && std::ranges::find(choices, word) == choices.end() &&
        !(open && did_you_mean(word, choices).empty())) {
      return concat("must be ", listed(choices), nullable ? " or None" : "", ", got ", quoted(word),
                    did_you_mean(word, choices));
    }
  }
  return "";
}

Value Option::in_its_case(Value value) const {
  auto* word = any_case ? std::get_if<std::string>(&value) : nullptr;
  if (word == nullptr) return value;
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  };
  for (const std::string_view choice : choices) {
    if (std::ranges::equal(*word, choice, same)) return std::string(choice);
  }
  return value;
}

Option& Option::at_least(double bound) {
  range.min = bound;
  return *this;
}

Option& Option::greater_than(double bound) {
  range.min = bound;
  range.min_open = true;
  return *this;
}

Option& Option::between(double low, double high) {
  range.min = low;
  range.max = high;
  return *this;
}

Option& Option::between_below(double low, double high) {
  range.max_open = true;
  return between(low, high);
}

Option& Option::or_exactly(double number) {
  range.or_value = number;
  return *this;
}

Option& Option::or_infinity() {
  range.infinity_allowed = true;
  return *this;
}

Option& Option::or_negative() {
  range.or_negative = true;
  return *this;
}

Option& Option::in_any_case() {
  any_case = true;
  return *this;
}

Option& Option::each_of(std::vector<std::string_view> words) {
  choices = std::move(words);
  return *this;
}

Option& Option::or_registered() {
  open = true;
  return *this;
}

Option& Option::must(bool (*predicate)(const std::string&), std::string in_words) {
  holds = predicate;
  rule = std::move(in_words);
  return *this;
}

Option& Option::path() {
  is_path = true;
  return *this;
}

Option& Option::or_comma_separated() {
  comma_separated = true;
  return *this;
}

Option& Option::only_in_toml() {
  given_by = GivenBy::kTomlOnly;
  return *this;
}

Option& Option::only_on_command_line() {
  given_by = GivenBy::kCommandLineOnly;
  return *this;
}

}  // namespace titan::config
