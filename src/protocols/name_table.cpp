#include "titan/protocols/name_table.h"

#include <algorithm>

namespace titan::protocols {
namespace {

constexpr std::string_view kNumber = "{}";

/// What stands for "{}" in `name`: "" in patterns without one; nothing when the pattern does not fit.
std::optional<std::string_view> match(std::string_view pattern, std::string_view name) {
  const std::size_t place = pattern.find(kNumber);
  if (place == std::string_view::npos) {
    return pattern == name ? std::optional<std::string_view>("") : std::nullopt;
  }
  const std::string_view behind = pattern.substr(place + kNumber.size());
  if (name.size() <= place + behind.size() || !name.starts_with(pattern.substr(0, place)) ||
      !name.ends_with(behind)) {
    return std::nullopt;
  }
  const std::string_view number = name.substr(place, name.size() - place - behind.size());
  const bool is_number = std::all_of(number.begin(), number.end(),
                                     [](char digit) { return digit >= '0' && digit <= '9'; });
  const bool is_canonical = number.size() == 1 || number[0] != '0';
  return is_number && is_canonical ? std::optional(number) : std::nullopt;
}

std::string put_in(std::string_view pattern, std::string_view number) {
  const std::size_t place = pattern.find(kNumber);
  if (place == std::string_view::npos) return std::string(pattern);
  std::string name(pattern.substr(0, place));
  name += number;
  name += pattern.substr(place + kNumber.size());
  return name;
}

std::optional<TranslatedName> translate(const std::vector<NameRule>& rules, std::string_view name,
                                        std::string_view NameRule::*from,
                                        std::string_view NameRule::*to) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if ((rules[i].*from).empty()) continue;
    if (const auto number = match(rules[i].*from, name)) {
      return TranslatedName{put_in(rules[i].*to, *number), i};
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
