#pragma once

#include <functional>
#include <optional>
#include <string>

namespace titan::tools {

/// The value of an environment variable, or nothing.
using EnvironmentLookup = std::function<std::optional<std::string>(const char* name)>;

/// Looks into this process's environment.
std::optional<std::string> environment_variable(const char* name);

}  // namespace titan::tools
