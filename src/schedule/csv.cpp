#include "titan/schedule/csv.h"

#include "titan/base/errors.h"
#include "titan/base/printable.h"
#include "titan/schedule/lowering.h"

namespace titan::schedule {

namespace {

/// The text before `mark`, taken off the front of `rest` with it; all of it when there is none.
std::string_view take_until(std::string_view& rest, char mark) {
  const std::size_t end = rest.find(mark);
  const std::string_view part = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return part;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\"";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::vector<Action> parse_line(std::string_view line, std::size_t number) {
  std::vector<Action> actions;
  for (std::size_t cell = 1; !line.empty(); ++cell) {
    const std::string_view word = trimmed(take_until(line, ','));
    if (word.empty()) continue;
    const auto action = parse_action(word);
    if (!action) {
      throw ConfigError(concat("pipeline schedule, line ", number, ", cell ", cell, ": '",
                               base::printable(word.substr(0, 40)),
                               "' is no action, as \"2F3\" or \"(0F3;3B1)OVERLAP_F_B\""));
    }
    actions.push_back(*action);
  }
  return actions;
}

}  // namespace

std::string to_csv(const Schedule& schedule) {
  std::string result;
  for (const std::vector<Action>& actions : schedule.ranks) {
    for (std::size_t i = 0; i < actions.size(); ++i) {
      if (i > 0) result += ',';
      result += text(actions[i]);
    }
    result += '\n';
  }
  return result;
}

Schedule from_csv(std::string_view csv, const Placement& placement, std::int64_t microbatches) {
  Schedule schedule{"CSV", placement, microbatches, {}};
  for (std::size_t line = 1; !csv.empty(); ++line) {
    const std::string_view actions = take_until(csv, '\n');
    if (csv.empty() && trimmed(actions).empty()) break;
    schedule.ranks.push_back(parse_line(actions, line));
  }
  if (schedule.ranks.size() != static_cast<std::size_t>(placement.ranks)) {
    throw ConfigError(concat("pipeline schedule: ", schedule.ranks.size(), " lines for ",
                             placement.ranks, " ranks"));
  }
  schedule = computations_of(schedule);
  const std::vector<std::string> problems = problems_of(schedule);
  if (!problems.empty()) {
    constexpr std::size_t kShown = 10;
    std::string text = "pipeline schedule:";
    for (std::size_t i = 0; i < problems.size() && i < kShown; ++i) text += "\n  " + problems[i];
    if (problems.size() > kShown) text += concat("\n  and ", problems.size() - kShown, " more");
    throw ConfigError(text);
  }
  return schedule;
}

}  // namespace titan::schedule
