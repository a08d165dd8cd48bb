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
  bool json = false;
  std::optional<std::int64_t> nproc;
  std::vector<std::string> rest;
};

ProgramArguments read_program_arguments(std::span<const std::string> args, Problems& problems);

/// "--help", "--check", ...
std::vector<std::string_view> program_options();

/// Usage and options of the program as `--help` begins.
std::string program_help();

}  // namespace titan::config
