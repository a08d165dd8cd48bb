#pragma once

#include "titan/config/command_line.h"

namespace titan::app {

/// Simulates and prints the pipeline schedule that the command line, or the config, names; writes the pictures it is
/// asked for. Throws ConfigError, RunError.
void show_schedule(const config::CommandLine& command);

}  // namespace titan::app
