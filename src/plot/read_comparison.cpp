#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "titan/base/errors.h"
#include "titan/plot/comparison.h"

namespace titan::plot {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostBytes = 16 << 20;
constexpr double kLargest = 1e30;

double number(const Json& json) {
  const auto value = json.get<double>();
  if (!(std::abs(value) <= kLargest)) throw RunError("a figure is no number that can be drawn");
  return value;
}

Spread spread(const Json& json) {
  return {number(json.at("median")), number(json.at("least")), number(json.at("most"))};
}

std::string job_name(const Json& result) {
  const auto threads = result.at("threads").get<std::int64_t>();
  return concat(result.at("case").get<std::string>(), ", ", result.at("layout").get<std::string>(),
                ", ", result.at("dtype").get<std::string>(), ", ", threads,
                threads == 1 ? " thread" : " threads");
}

/// What all programs' figure of that name was.
ComparedJob job_of(const Json& result, const std::string& figure) {
  ComparedJob job{job_name(result), {}};
  const Json& ratios = result.at("ratios");
  for (const auto& [program, figures] : result.at("figures").items()) {
    ProgramFigure one{program, spread(figures.at(figure)), {}};
    if (const auto found = ratios.find(program); found != ratios.end()) {
      one.ratio = spread(found->at(figure));
    }
    job.programs.push_back(std::move(one));
  }
  const bool is_compared =
      job.programs.size() > 1 && !job.programs.front().ratio &&
      std::ranges::all_of(job.programs.begin() + 1, job.programs.end(),
                          [](const ProgramFigure& other) { return other.ratio.has_value(); });
  if (!is_compared) throw RunError("a job was not done by two programs");
  return job;
}

std::vector<ComparedFigure> figures_of(const Json& results) {
  std::vector<ComparedFigure> all;
  for (const Json& result : results) {
    const Json& of_programs = result.at("figures");
    if (of_programs.empty()) throw RunError("a job was done by nobody");
    for (const auto& [name, unused] : of_programs.front().items()) {
      auto place = std::ranges::find(all, name, &ComparedFigure::name);
      if (place == all.end()) place = all.insert(all.end(), ComparedFigure{name, {}});
      place->jobs.push_back(job_of(result, name));
      if (!std::ranges::equal(place->jobs.back().programs, place->jobs.front().programs, {},
                              &ProgramFigure::program, &ProgramFigure::program)) {
        throw RunError("not all jobs were done by the same programs");
      }
    }
  }
  if (all.empty()) throw RunError("it has no job");
  return all;
}

}  // namespace

std::vector<ComparedFigure> read_comparison(base::FileSystem& files, const std::string& path) {
  const std::string text = base::read_whole_file(files, path, kMostBytes);
  const auto refused = [&](const std::string& why) {
    return RunError(
        concat("'", path, "' is not what tests/bench/side_by_side.py --json writes: ", why));
  };
  try {
    const Json results = Json::parse(text);
    if (!results.is_array()) throw RunError("it is no list");
    return figures_of(results);
  } catch (const Json::exception& error) {
    throw refused(error.what());
  } catch (const RunError& error) {
    throw refused(error.what());
  }
}

}  // namespace titan::plot
