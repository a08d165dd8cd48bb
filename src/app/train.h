#pragma once

#include "titan/config/command_line.h"
#include "titan/tools/startup_times.h"

namespace titan::app {

/// Trains one rank; returns 0, or 128 + the signal that ended the run early. Throws ConfigError,
/// RunError.
int train(const config::CommandLine& command, tools::StartupTimes& startup_times);

}  // namespace titan::app
