#pragma once

#include "titan/config/command_line.h"

namespace titan::app {

/// `titan_train tokenize`: the training data as token ids. Throws ConfigError, RunError.
int tokenize(const config::CommandLine& command);

}  // namespace titan::app
