#pragma once

#include <span>
#include <string>

#include "titan/config/command_line.h"

namespace titan::app {

/// Trains with `--nproc` ranks: this program again, that often, with the arguments but that one.
/// Returns the exit status. Throws ConfigError, RunError.
int run_local_ranks(std::span<const std::string> args, const config::CommandLine& command);

}  // namespace titan::app
