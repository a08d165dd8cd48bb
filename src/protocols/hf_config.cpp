#include "titan/protocols/hf_config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "titan/base/errors.h"

namespace titan::protocols {

namespace {

using Json = nlohmann::json;

Json parse(const std::string& text) {
  const auto limit_depth = [](int depth, Json::parse_event_t, Json&) {
    if (depth > 16) throw RunError("it is nested too deeply");
    return true;
  };
  try {
    Json json = Json::parse(text, limit_depth);
    if (json.is_object()) return json;
  } catch (const Json::exception&) {
    // Told below.
  }
  throw RunError("it is not a JSON object");
}

/// "rope_parameters.factor" as sentences say it.
std::string said(const std::string& field) {
  const std::size_t dot = field.rfind('.');
  if (dot == std::string::npos) return field;
  const bool of_rope = field.starts_with("rope_") && field.substr(dot + 1) != "rope_theta";
  return (of_rope ? "rope scaling's " : "") + field.substr(dot + 1);
}

const char* word(bool value) { return value ? "true" : "false"; }

}  // namespace

HfConfig::HfConfig(const std::string& text) : json_(std::make_unique<const Json>(parse(text))) {}

HfConfig::~HfConfig() = default;

const Json* HfConfig::find(const std::string& field) const {
  const Json* here = json_.get();
  for (std::size_t begin = 0; begin <= field.size();) {
    const std::size_t end = std::min(field.find('.', begin), field.size());
    if (!here->is_object()) return nullptr;
    const auto found = here->find(field.substr(begin, end - begin));
    if (found == here->end() || found->is_null()) return nullptr;
    here = &*found;
    begin = end + 1;
  }
  return here;
}

bool HfConfig::has(const std::string& field) const { return find(field) != nullptr; }

std::unique_ptr<HfConfig> HfConfig::inside(const std::string& field) const {
  const Json* found = find(field);
  if (found == nullptr || !found->is_object()) return nullptr;
  return std::make_unique<HfConfig>(found->dump());
}

std::optional<std::string> HfConfig::text(const std::string& field) const {
  const Json* found = find(field);
  if (found == nullptr || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

void HfConfig::compare(const std::string& field, double ours, std::optional<double> fallback,
                       std::vector<std::string>& differences) const {
  const Json* found = find(field);
  if (found == nullptr && !fallback) return;
  if (found != nullptr && !found->is_number()) {
    differences.push_back(said(field) + " is no number");
    return;
  }
  const double theirs = found != nullptr ? found->get<double>() : *fallback;
  if (std::abs(theirs - ours) <= 1e-9 * std::abs(ours)) return;
  differences.push_back(concat(said(field), " is ", theirs, found != nullptr ? "" : " (not said)",
                               ", in this model ", ours));
}

void HfConfig::compare_text(const std::string& field, const std::string& ours,
                            std::vector<std::string>& differences) const {
  const Json* found = find(field);
  if (found == nullptr || *found == ours) return;
  differences.push_back(
      concat(said(field), " is ", found->dump(-1, ' ', true), ", in this model \"", ours, "\""));
}

void HfConfig::compare_list(const std::string& field, const std::vector<std::int64_t>& ours,
                            std::vector<std::string>& differences) const {
  const Json* found = find(field);
  if (found == nullptr || *found == Json(ours)) return;
  differences.push_back(
      concat(said(field), " is ", found->dump(), ", in this model [", joined(ours), "]"));
}

void HfConfig::compare_flag(const std::string& field, bool ours, bool fallback,
                            std::vector<std::string>& differences) const {
  const Json* found = find(field);
  const bool theirs = found != nullptr && found->is_boolean() ? found->get<bool>() : fallback;
  if (theirs == ours) return;
  differences.push_back(concat(said(field), " is ", word(theirs),
                               found != nullptr ? "" : " (not said)", ", in this model ",
                               word(ours)));
}

void HfConfig::compare_absent(const std::string& field,
                              std::vector<std::string>& differences) const {
  const Json* found = find(field);
  if (found == nullptr || !found->is_boolean() || !found->get<bool>()) return;
  differences.push_back(concat(said(field), " is true; this model has none"));
}

HfRope::HfRope(const HfConfig& config) : theta("rope_theta"), type("default") {
  if (config.has("rope_parameters.rope_theta")) theta = "rope_parameters.rope_theta";
  for (const char* object : {"rope_scaling", "rope_parameters"}) {
    if (config.has(object)) scaling = object;
  }
  if (scaling.empty()) return;
  for (const char* field : {".type", ".rope_type"}) {
    if (const auto said_type = config.text(scaling + field)) type = *said_type;
  }
}

}  // namespace titan::protocols
