#include "titan/config/problem.h"

#include "titan/base/errors.h"

namespace titan::config {

void throw_if_any(std::span<const Problem> problems) {
  if (problems.empty()) {
    return;
  }
  std::string message = concat(problems.size(), problems.size() == 1 ? " problem" : " problems",
                               " in the configuration:");
  for (const Problem& problem : problems) {
    message += concat("\n  ", problem.where, ": ", problem.what);
  }
  throw ConfigError(message);
}

}  // namespace titan::config
