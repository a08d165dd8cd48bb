#pragma once

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace titan::profiling {

/// A trace as a viewer reads it.
class TraceFile {
 public:
  /// Throws nlohmann's exceptions when the file is no JSON.
  explicit TraceFile(const std::string& path) {
    std::ifstream file(path);
    json_ = nlohmann::json::parse(file);
    for (const auto& event : json_.at("traceEvents")) {
      if (event.at("ph") == "X") slices_.push_back(event);
    }
  }
  const nlohmann::json& json() const { return json_; }
  /// Events with a beginning and a duration.
  const std::vector<nlohmann::json>& slices() const { return slices_; }
  std::vector<nlohmann::json> slices_named(const std::string& name) const {
    std::vector<nlohmann::json> found;
    for (const auto& slice : slices_) {
      if (slice.at("name") == name) found.push_back(slice);
    }
    return found;
  }
  /// The names of all `ProfilerStep#` ranges in order of time.
  std::vector<std::string> steps() const {
    std::vector<std::pair<double, std::string>> found;
    for (const auto& slice : slices_) {
      const auto name = slice.at("name").get<std::string>();
      if (name.starts_with("ProfilerStep#")) found.emplace_back(slice.at("ts"), name);
    }
    std::sort(found.begin(), found.end());
    std::vector<std::string> names;
    for (auto& [time, name] : found) names.push_back(std::move(name));
    return names;
  }

 private:
  nlohmann::json json_;
  std::vector<nlohmann::json> slices_;
};

/// Whether `inner` lies within `outer` on the same thread, but for the clock's rounding.
inline bool within(const nlohmann::json& inner, const nlohmann::json& outer) {
  constexpr double kRounding = 0.01;  // microseconds
  const double start = inner.at("ts");
  const double outer_start = outer.at("ts");
  const double end = start + inner.at("dur").get<double>();
  const double outer_end = outer_start + outer.at("dur").get<double>();
  return inner.at("tid") == outer.at("tid") && start >= outer_start - kRounding &&
         end <= outer_end + kRounding;
}

}  // namespace titan::profiling
