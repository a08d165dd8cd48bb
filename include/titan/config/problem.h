#pragma once

#include <span>
#include <string>
#include <vector>

namespace titan::config {

/// One mistake of the user.
struct Problem {
  std::string where;  ///< "file:line:column", or the command line's argument
  std::string what;   ///< the rule broken and, where there is one, the nearest valid name

  bool operator==(const Problem&) const = default;
};

using Problems = std::vector<Problem>;

/// Throws one ConfigError that lists all problems; returns when there are none.
void throw_if_any(std::span<const Problem> problems);

}  // namespace titan::config
