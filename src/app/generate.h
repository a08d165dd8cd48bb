#pragma once

#include "titan/config/command_line.h"

namespace titan::app {

/// `titan_train generate`: goes on with the prompts and prints the texts. Throws ConfigError,
/// RunError.
int generate(const config::CommandLine& command);

}  // namespace titan::app
