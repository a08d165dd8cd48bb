#pragma once

#include <string_view>

namespace titan::tools {

/// Writes what the user has asked for, at once. Throws RunError where it cannot be written (a full disk, a
/// closed pipe).
void print(std::string_view text);

}  // namespace titan::tools
