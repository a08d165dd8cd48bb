#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "titan/config/action.h"
#include "titan/config/problem.h"

namespace titan::config {

/// The program's own options, and the arguments that are not among them, in order.
struct ProgramArguments {
  Action action = Action::kTrain;
  std::optional<std::int64_t> world_size;
  std::vector<std::string> inputs;
  std::optional<std::string> output;
  std::int64_t threads = 0;
  GenerateOptions generate;
  ConvertOptions convert;
  ScheduleOptions schedule;
  bool json = false;
  std::optional<std::int64_t> nproc;
  Shell shell = Shell::kBash;
  std::vector<std::string> rest;
};

ProgramArguments read_program_arguments(std::span<const std::string> args, Problems& problems);

/// One of the program's own options.
struct ProgramOption {
  std::string name;  ///< "check", without its dashes
  std::string help;
  std::string words;  ///< values to choose from, separated by blanks, where there is such a list
  bool takes_value = false;
};

std::vector<ProgramOption> program_option_table();

/// "--help", "--check", ...
std::vector<std::string_view> program_options();

/// Usage and options of the program as `--help` begins.
std::string program_help();

}  // namespace titan::config
