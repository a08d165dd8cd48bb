#pragma once

#include <string>
#include <vector>

namespace titan::components {

/// "a, b, c and 12 more".
std::string list_names(const std::vector<std::string>& names);

}  // namespace titan::components
