#pragma once

#include <span>
#include <string>

namespace titan::app {

/// Does what the command line asks for and returns the exit status. Throws ConfigError, RunError.
int run(std::span<const std::string> args);

/// The text of `--version`: our version, LibTorch's, and what a visible GPU adds.
std::string version_text();

}  // namespace titan::app
