#pragma once

#include <string>
#include <string_view>

#include "titan/base/errors.h"

namespace titan::base {

/// "cannot <action> '<path>': <the operating system's words for `error`>".
RunError file_error(std::string_view action, const std::string& path, int error);

}  // namespace titan::base
