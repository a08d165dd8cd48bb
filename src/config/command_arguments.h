#pragma once

#include <string>
#include <vector>

#include "config/program_arguments.h"

namespace CLI {
class App;
}

namespace titan::config {

/// The options of `generate` and `convert` as they stand on the command line.
struct CommandWords {
  std::vector<std::string> prompts;  // not CLI11's, which would take "[a, b]" apart
  std::string prompt;
  std::string checkpoint;
  std::string temperature;
  std::string top_k;
  std::string max_tokens;
  std::string seed;
  std::string from;
  std::string to;
  std::string dtype;
};

void declare_commands(CLI::App& app, CommandWords& words);

/// Reads them into `result`, whose action is known, and reports those of another command.
/// `positional`: what stands between the options of `convert`.
void read_commands(const CLI::App& app, const CommandWords& words,
                   const std::vector<std::string>& positional, ProgramArguments& result,
                   Problems& problems);

}  // namespace titan::config
