#pragma once

#include <string>
#include <vector>

#include "titan/config/action.h"
#include "titan/config/problem.h"

namespace CLI {
class App;
}

namespace titan::config {

/// The options of `generate`, `convert` and `schedule` as they stand on the command line.
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
  std::string name;
  std::string pp;
  std::string stages_per_rank;
  std::string microbatches;
  std::string times;
  bool csv = false;
  std::string svg;
  std::string trace;
};

void declare_commands(CLI::App& app, CommandWords& words);

/// The options of `generate`. With another action there are none, and those given are problems,
/// but not beside help and version, which ignore the rest of the line.
GenerateOptions read_generate(const CLI::App& app, const CommandWords& words, Action action,
                              Problems& problems);

/// The options of `convert`, likewise; `positional` is what stands between them.
ConvertOptions read_convert(const CLI::App& app, const CommandWords& words,
                            const std::vector<std::string>& positional, Action action,
                            Problems& problems);

/// The options of `schedule`, likewise.
ScheduleOptions read_schedule(const CLI::App& app, const CommandWords& words, Action action,
                              Problems& problems);

}  // namespace titan::config
