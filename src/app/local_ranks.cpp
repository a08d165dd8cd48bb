#include "app/local_ranks.h"

#include <filesystem>

#include "titan/base/errors.h"
#include "titan/tools/environment_variable.h"
#include "titan/tools/launch_ranks.h"
#include "titan/tools/read_launch_environment.h"

namespace titan::app {

namespace {

/// The arguments without --nproc and its value.
std::vector<std::string> arguments_of_a_rank(std::span<const std::string> args) {
  std::vector<std::string> kept;
  bool value_follows = false;
  for (const std::string& argument : args) {
    const bool is_value = value_follows && !argument.starts_with("--");
    value_follows = argument == "--nproc";
    if (!is_value && !value_follows && !argument.starts_with("--nproc=")) kept.push_back(argument);
  }
  return kept;
}

}  // namespace

int run_local_ranks(std::span<const std::string> args, const config::CommandLine& command) {
  const tools::LaunchEnvironment environment = tools::read_launch_environment();
  if (environment.world_size > 1) {
    throw ConfigError(concat("--nproc starts ranks, but ", environment.launcher,
                             " has started this process as rank ", environment.rank, " of ",
                             environment.world_size, ": leave --nproc out"));
  }
  if (command.config.comm.mode != config::CommMode::kDefault) {
    throw ConfigError(
        "--nproc starts a process for every rank; comm.mode pretends or shares one. "
        "Leave one of them out (NGPU says how many ranks comm.mode has)");
  }
  std::error_code failed;
  tools::RankLaunch launch;
  launch.command = {std::filesystem::read_symlink("/proc/self/exe", failed).string()};
  if (failed) throw RunError("cannot find this program: " + failed.message());
  for (std::string& argument : arguments_of_a_rank(args)) {
    launch.command.push_back(std::move(argument));
  }
  launch.ranks = *command.nproc;
  launch.log_ranks = tools::environment_variable("LOG_RANK").value_or("0");
  return tools::launch_ranks(launch);
}

}  // namespace titan::app
