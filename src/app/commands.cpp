#include "app/commands.h"

#include <charconv>
#include <cstdio>

#include "app/engine.h"
#include "app/local_ranks.h"
#include "app/lr_table.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/config/print.h"
#include "titan/plot/plot_runs.h"
#include "titan/tools/environment_variable.h"
#include "titan/tools/read_launch_environment.h"
#include "titan/tools/standard_output.h"
#include "titan/tools/startup_times.h"

namespace titan::app {

namespace {

void draw(const config::CommandLine& command) {
  const plot::PlotResult result =
      plot::plot_runs(base::posix_file_system(), command.inputs, command.output);
  for (const std::string& warning : result.warnings) {
    std::fprintf(stderr, "titan_train: warning: %s\n", warning.c_str());
  }
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

}  // namespace

int run(std::span<const std::string> args) {
  tools::StartupTimes startup_times;
  const config::CommandLine command =
      config::parse_command_line(args, base::posix_file_system(),
                                 tools::read_launch_environment().world_size, simulated_ranks());
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
    case config::Action::kPrintConfig:
      tools::print(config::print_config(command.config, command.origins));
      return 0;
    case config::Action::kCheck:
      load_engine().check_model(command.config);
      tools::print(concat("The configuration is valid for ", command.world_size, " rank",
                          command.world_size == 1 ? "" : "s", ".\n"));
      return 0;
    case config::Action::kPlot:
      draw(command);
      return 0;
    case config::Action::kShowLr:
      tools::print(lr_table(command.config));
      return 0;
    case config::Action::kEstimate:
      return load_engine().estimate(command);
    case config::Action::kTokenize:
      return load_engine().tokenize(command);
    case config::Action::kGenerate:
      return load_engine().generate(command);
    case config::Action::kConvert:
      return load_engine().convert(command);
    case config::Action::kTrain:
      if (command.nproc) return run_local_ranks(args, command);
      startup_times.finish("config");
      return load_engine().train(command, startup_times);
  }
  throw InternalError("unknown action");
}

}  // namespace titan::app
