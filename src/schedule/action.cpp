#include "titan/schedule/action.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "titan/base/errors.h"

namespace titan::schedule {

namespace {

/// By Op.
constexpr std::array<std::string_view, 12> kNames = {
    "F",           "B",      "I",      "W",      "UNSHARD", "RESHARD",
    "REDUCE_GRAD", "SEND_F", "RECV_F", "SEND_B", "RECV_B",  "OVERLAP_F_B"};
/// More of them nobody has, and sums of so many do not overflow.
constexpr std::int64_t kMostOfAnything = 1'000'000;

/// Takes a number off the front of `text`.
std::optional<std::int64_t> take_number(std::string_view& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0 || number > kMostOfAnything || text.front() == '-') {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

std::optional<Action> parse_overlap(std::string_view text) {
  const std::string_view name = kNames.back();
  if (!text.ends_with(name)) return std::nullopt;
  text.remove_suffix(name.size());
  const std::size_t middle = text.find(';');
  if (!text.ends_with(')') || middle == std::string_view::npos) return std::nullopt;
  const auto first = parse_action(text.substr(1, middle - 1));
  const auto second = parse_action(text.substr(middle + 1, text.size() - middle - 2));
  if (!first || !second || first->op != Op::kForward ||
      (second->op != Op::kBackward && second->op != Op::kInputGradient)) {
    return std::nullopt;
  }
  return overlap(*first, *second);
}

}  // namespace

std::strong_ordering Action::operator<=>(const Action& other) const {
  const auto order =
      std::tie(stage, op, microbatch) <=> std::tie(other.stage, other.op, other.microbatch);
  if (order != 0) return order;
  return std::lexicographical_compare_three_way(parts.begin(), parts.end(), other.parts.begin(),
                                                other.parts.end());
}

Action overlap(const Action& first, const Action& second) {
  return {first.stage, Op::kOverlap, first.microbatch, {first, second}};
}

std::vector<Action> parts_of(const Action& action) {
  return action.op == Op::kOverlap ? action.parts : std::vector<Action>{action};
}

std::string text(const Action& action) {
  const std::string_view name = kNames[static_cast<std::size_t>(action.op)];
  if (action.op == Op::kOverlap) {
    return concat("(", text(action.parts.at(0)), ";", text(action.parts.at(1)), ")", name);
  }
  if (!has_microbatch(action.op)) return concat(action.stage, name);
  return concat(action.stage, name, action.microbatch);
}

std::optional<Action> parse_action(std::string_view text) {
  if (text.starts_with('(')) return parse_overlap(text);
  if (text.empty()) return std::nullopt;
  Action action;
  const auto stage = take_number(text);
  if (!stage) return std::nullopt;
  action.stage = *stage;
  const std::string_view name = text.substr(0, text.find_first_of("0123456789"));
  text.remove_prefix(name.size());
  for (std::size_t op = 0; op + 1 < kNames.size(); ++op) {
    if (kNames[op] != name) continue;
    action.op = static_cast<Op>(op);
    if (!has_microbatch(action.op)) return text.empty() ? std::optional(action) : std::nullopt;
    const auto microbatch = text.empty() ? std::nullopt : take_number(text);
    if (!microbatch || !text.empty()) return std::nullopt;
    action.microbatch = *microbatch;
    return action;
  }
  return std::nullopt;
}

}  // namespace titan::schedule
