#include "titan/config/param_group.h"

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

}  // namespace titan::config
