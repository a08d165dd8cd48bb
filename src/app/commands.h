#pragma once

#include <span>
#include <string>

#include "titan/config/command_line.h"

namespace titan::app {

/// Does what the command line asks for and returns the exit status. Throws ConfigError, RunError.
int run(std::span<const std::string> args);

/// Trains one rank; 0, or 128 + the signal that ended the run early.
int train(const config::CommandLine& command);

/// The text of `--version`: our version, LibTorch's, and what a visible GPU adds.
std::string version_text();

}  // namespace titan::app
