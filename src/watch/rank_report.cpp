#include "watch/rank_report.h"

#include <nlohmann/json.hpp>

#include "titan/base/printable.h"

namespace titan::watch {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLongestReport = 1 << 16;

Json to_json(const GroupProgress& progress) {
  return Json::array({progress.group, progress.operation, progress.sequence});
}

/// For messages: the store may hold anything.
std::string word_of(const Json& json) { return base::printable(json.get<std::string>(), 255); }

GroupProgress progress_of(const Json& json) {
  return {word_of(json.at(0)), word_of(json.at(1)), json.at(2).get<std::uint64_t>()};
}

}  // namespace

std::string to_text(const RankReport& report) {
  constexpr std::size_t kLongestError = 2'000;
  Json groups = Json::array();
  for (const GroupProgress& group : report.groups) groups.push_back(to_json(group));
  Json json = {{"beat", report.beat},
               {"host", report.host},
               {"pid", report.pid},
               {"machine", report.machine},
               {"state", static_cast<int>(report.state)},
               {"error", report.error.substr(0, kLongestError)},
               {"time", report.unix_milliseconds},
               {"phase", Json::array({report.phase.name, report.phase.step, report.phase.seconds})},
               {"groups", std::move(groups)}};
  if (report.pending) {
    json["pending"] = Json::array({to_json(report.pending->what), report.pending->seconds});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<RankReport> parse_rank_report(const std::string& text) {
  if (text.size() > kLongestReport) return std::nullopt;
  try {
    const Json json = Json::parse(text);
    RankReport report;
    report.beat = json.at("beat").get<std::uint64_t>();
    report.host = word_of(json.at("host"));
    report.pid = json.at("pid").get<std::int64_t>();
    report.machine = json.at("machine").get<std::string>();
    const int state = json.at("state").get<int>();
    if (state < 0 || state > static_cast<int>(RankReport::State::kFailed)) return std::nullopt;
    report.state = static_cast<RankReport::State>(state);
    report.error = base::printable_lines(json.at("error").get<std::string>());
    report.unix_milliseconds = json.at("time").get<std::int64_t>();
    const Json& phase = json.at("phase");
    report.phase = {word_of(phase.at(0)), phase.at(1).get<std::int64_t>(),
                    phase.at(2).get<double>()};
    for (const Json& group : json.at("groups")) report.groups.push_back(progress_of(group));
    if (json.contains("pending")) {
      const Json& pending = json.at("pending");
      report.pending = {progress_of(pending.at(0)), pending.at(1).get<double>()};
    }
    return report;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace titan::watch
