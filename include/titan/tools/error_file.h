#pragma once

#include <string>

#include "titan/tools/environment_variable.h"

namespace titan::tools {

/// Leaves the message of a failure where torchrun looks for it (TORCHELASTIC_ERROR_FILE), so that it
/// can repeat the first one of all ranks in the end. Does nothing without that variable, or where
/// the file cannot be written; never throws.
void leave_error_file(const std::string& message,
                      const EnvironmentLookup& lookup = environment_variable) noexcept;

}  // namespace titan::tools
