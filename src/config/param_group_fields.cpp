#include "config/param_group_fields.h"

#include <regex>

#include "titan/base/errors.h"

namespace titan::config {

std::function<bool(const std::string& name)> compile_pattern(const std::string& pattern) {
  // libstdc++'s breadth-first matcher: no pattern makes it try all ways to match.
  constexpr auto kSyntax = std::regex_constants::ECMAScript | std::regex_constants::__polynomial;
  try {
    return [compiled = std::regex(pattern, kSyntax)](const std::string& name) {
      return std::regex_search(name, compiled);
    };
  } catch (const std::regex_error& error) {
    throw ConfigError(concat("is not a regular expression: ", error.what()));
  }
}

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

}  // namespace titan::config
