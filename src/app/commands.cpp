#include "app/commands.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "app/engine.h"
#include "app/heap.h"
#include "app/lr_table.h"
#include "app/schedule.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/config/command_line.h"
#include "titan/config/print.h"
#include "titan/plot/plot_runs.h"
#include "titan/tools/environment_variable.h"
#include "titan/tools/launch_ranks.h"
#include "titan/tools/read_launch_environment.h"
#include "titan/tools/standard_output.h"
#include "titan/tools/startup_times.h"

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

/// Trains with `--nproc` ranks: this program again, that often, with the arguments but that one.
/// Returns the exit status. Throws ConfigError, RunError.
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

void print_warnings(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) {
    std::fprintf(stderr, "titan_train: warning: %s\n", warning.c_str());
  }
}

/// Fast paths promise the same bits for any number of threads. MKL's products keep that when asked, at a cost of 1 to 2 %;
/// it reads this once, at its first product. Without fast paths a run has PyTorch's bits, which go by threads.
void multiply_alike_on_all_threads() { setenv("MKL_CBWR", "AUTO,STRICT", /*overwrite=*/0); }

/// The engine, which knows the models. Throws ConfigError where the config names another one.
Engine& engine_for(const config::CommandLine& command) {
  if (command.config.compile.enable) multiply_alike_on_all_threads();
  Engine& engine = load_engine();
  config::throw_if_any(engine.model_problems(command.config, command.origins, command.world_size));
  return engine;
}

void draw(const config::CommandLine& command) {
  const plot::PlotResult result =
      plot::plot_runs(base::posix_file_system(), command.inputs, command.output);
  print_warnings(result.warnings);
  tools::print(result.path + "\n");
}

/// NGPU: how many ranks a job has whose comm.mode needs no launcher.
std::optional<std::int64_t> simulated_ranks() {
  const std::optional<std::string> text = tools::environment_variable("NGPU");
  if (!text) return std::nullopt;
  std::int64_t ranks = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), ranks);
  if (error != std::errc() || end != text->data() + text->size() || ranks < 1) {
    throw ConfigError(concat("NGPU: not a number of ranks: '", *text, "'"));
  }
  return ranks;
}

/// For the hint in an error, which is not to be lost where the engine cannot be loaded.
config::LayoutFits allowed_layouts(const config::JobConfig& config) try {
  return load_engine().model_layouts(config);
} catch (const RunError&) {
  return {};
}

}  // namespace

int run(std::span<const std::string> args) {
  tools::StartupTimes startup_times;
  const config::CommandLine command = config::parse_command_line(
      args, base::posix_file_system(), tools::read_launch_environment().world_size,
      simulated_ranks(),
      {.problems =
           [](const config::JobConfig& config, const config::Origins& origins,
              std::int64_t world_size) {
             return load_engine().model_problems(config, origins, world_size);
           },
       .layouts = allowed_layouts});
  switch (command.action) {
    case config::Action::kHelp:
      tools::print(config::help_text());
      return 0;
    case config::Action::kHelpMarkdown:
      tools::print(config::config_markdown());
      return 0;
    case config::Action::kVersion:
      tools::print(version_text());
      return 0;
    case config::Action::kCompletion:
      tools::print(config::completion_script(command.shell));
      return 0;
    case config::Action::kPrintConfig:
      tools::print(config::print_config(command.config, command.origins));
      return 0;
    case config::Action::kCheck:
      print_warnings(command.warnings);
      tools::print(concat("The configuration is valid for ", command.world_size, " rank",
                          command.world_size == 1 ? "" : "s", ".\n"));
      return 0;
    case config::Action::kSchedule:
      show_schedule(command);
      return 0;
    case config::Action::kPlot:
      draw(command);
      return 0;
    case config::Action::kShowLr:
      tools::print(lr_table(command.config));
      return 0;
    case config::Action::kEstimate:
      return engine_for(command).estimate(command);
    case config::Action::kShowPlan:
      return engine_for(command).show_plan(command);
    case config::Action::kTokenize:
      return load_engine().tokenize(command);
    case config::Action::kGenerate:
      return engine_for(command).generate(command);
    case config::Action::kConvert:
      return engine_for(command).convert(command);
    case config::Action::kProfile:
    case config::Action::kTrain:
      if (command.nproc) return run_local_ranks(args, command);
      restart_with_a_heap_for_tensors(args);
      startup_times.finish("config");
      return command.action == config::Action::kProfile
                 ? engine_for(command).profile(command, startup_times)
                 : engine_for(command).train(command, startup_times);
  }
  throw InternalError("unknown action");
}

}  // namespace titan::app
