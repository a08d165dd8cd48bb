#pragma once

#include "titan/config/command_line.h"

namespace titan::app {

/// `titan_train convert`: a model's weights in another format. Throws ConfigError, RunError.
int convert(const config::CommandLine& command);

}  // namespace titan::app
