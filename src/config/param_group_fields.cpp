#include "config/param_group_fields.h"

#include <regex>

#include "titan/base/errors.h"

namespace titan::config {

std::string complaint_about_pattern(const std::string& pattern) {
  // std::regex compiles recursively: the limit keeps its stack small.
  constexpr std::size_t kMaxLength = 500;
  if (pattern.empty() || pattern.size() > kMaxLength) {
    return concat("must have 1 to ", kMaxLength, " characters, has ", pattern.size());
  }
  try {
    const std::regex compiled(pattern, std::regex::ECMAScript);
    return "";
  } catch (const std::regex_error& error) {
    return concat("is not a regular expression: ", error.what());
  }
}

}  // namespace titan::config
