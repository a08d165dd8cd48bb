#include "titan/protocols/name_table.h"

#include <algorithm>

namespace titan::protocols {
namespace {

constexpr std::string_view kNumber = "{}";

/// The digits that `text` begins with; empty when they are not as a number is written.
std::string_view leading_number(std::string_view text) {
  const auto end =
      std::find_if(text.begin(), text.end(), [](char digit) { return digit < '0' || digit > '9'; });
  const std::string_view digits = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  const bool is_canonical = digits.size() <= 1 || digits[0] != '0';
  return is_canonical ? digits : std::string_view();
}

/// What stands for each "{}" in `name`; nothing when the pattern does not fit.
std::optional<std::vector<std::string>> match(std::string_view pattern, std::string_view name) {
  std::vector<std::string> numbers;
  for (;;) {
    const std::size_t place = pattern.find(kNumber);
    const std::string_view front = pattern.substr(0, place);
    if (!name.starts_with(front)) return std::nullopt;
    name.remove_prefix(front.size());
    if (place == std::string_view::npos) break;
    pattern.remove_prefix(place + kNumber.size());
    const std::string_view number = leading_number(name);
    if (number.empty()) return std::nullopt;
    numbers.emplace_back(number);
    name.remove_prefix(number.size());
  }
  return name.empty() ? std::optional(std::move(numbers)) : std::nullopt;
}

/// The pattern with the numbers in its places, from the left, as far as there are some.
std::string put_in(std::string_view pattern, const std::vector<std::string>& numbers) {
  std::string name;
  for (const std::string& number : numbers) {
    const std::size_t place = pattern.find(kNumber);
    if (place == std::string_view::npos) break;
    name += pattern.substr(0, place);
    name += number;
    pattern.remove_prefix(place + kNumber.size());
  }
  name += pattern;
  return name;
}

std::optional<TranslatedName> translate(const std::vector<NameRule>& rules, std::string_view name,
                                        std::string_view NameRule::*from,
                                        std::string_view NameRule::*to) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if ((rules[i].*from).empty()) continue;
    if (auto numbers = match(rules[i].*from, name)) {
      return TranslatedName{put_in(rules[i].*to, *numbers), i, std::move(*numbers)};
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<TranslatedName> name_in_hf(const std::vector<NameRule>& rules,
                                         std::string_view ours) {
  return translate(rules, ours, &NameRule::ours, &NameRule::hf);
}

std::optional<TranslatedName> name_in_ours(const std::vector<NameRule>& rules,
                                           std::string_view hf) {
  return translate(rules, hf, &NameRule::hf, &NameRule::ours);
}

}  // namespace titan::protocols
