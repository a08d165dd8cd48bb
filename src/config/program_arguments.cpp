#include "config/program_arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "config/argument_value.h"
#include "titan/base/errors.h"

namespace titan::config {
namespace {

constexpr std::int64_t kMaxWorldSize = 1'000'000;

/// The program's own options as CLI11 fills them in.
struct Words {
  bool help = false;
  bool help_markdown = false;
  bool version = false;
  bool print_config = false;
  bool check = false;
  std::string world_size;
};

void declare(CLI::App& app, Words& words) {
  app.set_help_flag();  // ours goes through the same door as the rest
  app.add_flag("-h,--help", words.help, "Print this and leave.");
  app.add_flag("--help-markdown", words.help_markdown, "Print docs/config.md and leave.");
  app.add_flag("--version", words.version, "Print the versions of program and libraries.");
  app.add_flag("--print-config", words.print_config,
               "Print the merged config as TOML, with the origin of each value, and leave.");
  app.add_flag("--check", words.check, "Check the config and leave; needs no device.");
  app.add_option("--world-size", words.world_size,
                 "With --check: the number of ranks to check for.")
      ->expected(0, 1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->type_name("<int>");
}

std::optional<std::int64_t> read_world_size(const Words& words, Problems& problems) {
  Option option;
  option.type = ValueType::kInteger;
  option.between(1, kMaxWorldSize);
  const ArgumentValue argument = read_argument(option, words.world_size);
  const std::string complaint =
      !words.check               ? "only goes with --check: a run takes its size from the launcher"
      : words.world_size.empty() ? "needs a value"
      : argument.complaint.empty() ? option.complaint_about(argument.value)
                                   : argument.complaint;
  if (!complaint.empty()) {
    problems.push_back({"--world-size=" + words.world_size, complaint});
    return std::nullopt;
  }
  return std::get<std::int64_t>(argument.value);
}

/// The program's option that an argument names, or nullptr: "-h", "--print_config", "--check=x".
const CLI::Option* own_option(const CLI::App& app, const std::string& argument) {
  std::string name = argument.substr(0, argument.find('='));
  std::ranges::replace(name, '_', '-');
  return name == "-h" || name.starts_with("--") ? app.get_option_no_throw(name) : nullptr;
}

/// Moves what is not the program's own to `rest`. CLI11 does not get to see it: it would take
/// "-hello", the value of another option, for -h.
std::vector<std::string> own_arguments(const CLI::App& app, std::span<const std::string> args,
                                       std::vector<std::string>& rest) {
  std::vector<std::string> own;
  bool value_follows = false;
  for (const std::string& argument : args) {
    const CLI::Option* option = own_option(app, argument);
    if (option != nullptr) {
      const bool has_value = argument.find('=') != std::string::npos;
      own.push_back(option->get_name() + (has_value ? argument.substr(argument.find('=')) : ""));
      value_follows = !has_value && option->get_items_expected_max() > 0;
    } else {
      (value_follows && !argument.starts_with("--") ? own : rest).push_back(argument);
      value_follows = false;
    }
  }
  return own;
}

Action action_of(const Words& words) {
  return words.help            ? Action::kHelp
         : words.help_markdown ? Action::kHelpMarkdown
         : words.version       ? Action::kVersion
         : words.print_config  ? Action::kPrintConfig
         : words.check         ? Action::kCheck
                               : Action::kTrain;
}

}  // namespace

ProgramArguments read_program_arguments(std::span<const std::string> args, Problems& problems) {
  ProgramArguments result;
  Words words;
  CLI::App app;
  declare(app, words);
  std::vector<std::string> own = own_arguments(app, args, result.rest);
  std::ranges::reverse(own);  // CLI11 reads from the back
  try {
    app.parse(std::move(own));
  } catch (const CLI::ParseError& error) {
    problems.push_back({"command line", error.what()});
  }
  result.action = action_of(words);
  if (app.count("--world-size") > 0) {
    result.world_size = read_world_size(words, problems);
  }
  if (words.check && words.print_config) {
    problems.push_back({"--print-config", "does not go with --check"});
  }
  return result;
}

std::vector<std::string_view> program_options() {
  static const std::vector<std::string> names = [] {
    CLI::App app;
    Words words;
    declare(app, words);
    std::vector<std::string> all;
    for (const CLI::Option* option : app.get_options()) {
      all.push_back("--" + option->get_lnames().front());
    }
    return all;
  }();
  return {names.begin(), names.end()};
}

std::string program_help() {
  CLI::App app(
      "Trains large language models. The options behind the program's own can stand in "
      "a TOML file, too.",
      "titan_train");
  Words words;
  declare(app, words);
  return app.help();
}

}  // namespace titan::config
