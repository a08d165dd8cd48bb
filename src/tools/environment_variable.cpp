#include "titan/tools/environment_variable.h"

#include <cstdlib>

namespace titan::tools {

std::optional<std::string> environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace titan::tools
