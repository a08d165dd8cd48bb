#include "config/records.h"

#include <algorithm>
#include <array>

#include "config/home_folder.h"
#include "config/nearest.h"
#include "titan/base/errors.h"
#include "titan/config/data_format.h"

namespace titan::config {
namespace {

std::string complaint_about_pattern(const std::string& pattern) {
  // std::regex compiles recursively: the limit keeps its stack small.
  constexpr std::size_t kMaxLength = 500;
  if (pattern.empty() || pattern.size() > kMaxLength) {
    return concat("must have 1 to ", kMaxLength, " characters, has ", pattern.size());
  }
  try {
    compile_pattern(pattern);
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

std::string complaint_about_path(const std::string& path) {
  return path.empty() || path.find('\0') != std::string::npos ? "must be a file or a folder"
                                                              : complaint_about_home(path);
}

std::string complaint_about_format(const std::string& format) {
  const auto& formats = kWords<DataFormat>;
  if (std::ranges::find(formats, format) != formats.end()) return "";
  return "must be a word of data.format" + did_you_mean(format, formats);
}

constexpr std::array kParamGroupFields = {
    RecordField<ParamGroup>{"pattern", &ParamGroup::pattern, true, complaint_about_pattern},
    RecordField<ParamGroup>{"weight_decay", &ParamGroup::weight_decay},
    RecordField<ParamGroup>{"lr_scale", &ParamGroup::lr_scale}};

constexpr std::array kMixturePartFields = {
    RecordField<MixturePart>{"path", &MixturePart::path, true, complaint_about_path, true},
    RecordField<MixturePart>{"weight", &MixturePart::weight},
    RecordField<MixturePart>{"format", &MixturePart::format, false, complaint_about_format}};

}  // namespace

std::span<const RecordField<ParamGroup>> fields_of(const ParamGroup&) { return kParamGroupFields; }

std::span<const RecordField<MixturePart>> fields_of(const MixturePart&) {
  return kMixturePartFields;
}

}  // namespace titan::config
