#include "config/program_arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "config/argument_value.h"
#include "config/command_arguments.h"
#include "config/home_folder.h"
#include "titan/base/errors.h"
#include "titan/config/options.h"

namespace titan::config {
namespace {

constexpr std::int64_t kMaxCount = 1'000'000;

/// The program's own options as CLI11 fills them in.
struct Words {
  bool help = false;
  bool help_markdown = false;
  bool version = false;
  bool print_config = false;
  bool show_lr = false;
  bool check = false;
  bool estimate = false;
  bool show_plan = false;
  bool json = false;
  std::string world_size;
  std::string output;
  std::string threads;
  std::string nproc;
  std::string completion;
  CommandWords commands;
};

/// The arguments by who reads them.
struct Sorted {
  std::vector<std::string> own;         // the program's options
  std::vector<std::string> rest;        // the config's
  std::vector<std::string> positional;  // what `convert` converts
};

void declare(CLI::App& app, Words& words) {
  app.set_help_flag();  // ours goes through the same door as the rest
  app.add_flag("-h,--help", words.help, "Print this and leave.");
  app.add_flag("--help-markdown", words.help_markdown, "Print docs/config.md and leave.");
  app.add_flag("--version", words.version, "Print the versions of program and libraries.");
  app.add_flag("--print-config", words.print_config,
               "Print the merged config as TOML, with the origin of each value, and leave.");
  app.add_flag("--check", words.check, "Check the config and leave; needs no device.");
  app.add_option(
         "--world-size", words.world_size,
         "With --check, --estimate, --show-plan and schedule: the number of ranks to look at.")
      ->expected(0, 1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->type_name("<int>");
  app.add_flag(
      "--estimate", words.estimate,
      "Print the memory and the communication that a step of this config needs, and leave; "
      "needs no device.");
  app.add_flag(
      "--show-plan", words.show_plan,
      "Print what tensor parallelism does to each module of this config's model, and what that "
      "sends, and leave; needs no device.");
  app.add_flag("--json", words.json,
               "With --estimate, generate and profile: print JSON instead of text.");
  app.add_flag("--show-lr", words.show_lr, "Print the learning rate of every step and leave.");
  app.add_option("--output", words.output,
                 "plot: the SVG to write. tokenize: where PATH.bin and PATH.idx go. "
                 "--estimate and profile: the JSON to write.")
      ->expected(0, 1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->type_name("<path>");
  app.add_option("--nproc", words.nproc,
                 "Train with this many ranks of this machine, each a process.")
      ->expected(0, 1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->type_name("<int>");
  app.add_option("--completion", words.completion,
                 "Print a script that completes options in this shell, and leave: source "
                 "<(titan_train --completion bash).")
      ->expected(0, 1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->type_name("bash|zsh|fish");
  declare_commands(app, words.commands);
  app.add_option("--threads", words.threads, "tokenize: threads; 0, the default, is one per core.")
      ->expected(0, 1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->type_name("<int>");
}

/// The value of an option that is an integer and goes with some of the actions only.
std::optional<std::int64_t> read_count(const std::string& name, const std::string& text,
                                       std::int64_t least, const std::string& misplaced,
                                       Problems& problems) {
  Option option;
  option.type = ValueType::kInteger;
  option.between(static_cast<double>(least), kMaxCount);
  const ArgumentValue argument = read_argument(option, text);
  const std::string complaint = !misplaced.empty() ? misplaced
                                : text.empty()     ? "needs a value"
                                : argument.complaint.empty()
                                    ? option.complaint_about(argument.value)
                                    : argument.complaint;
  if (!complaint.empty()) {
    problems.push_back({name + "=" + text, complaint});
    return std::nullopt;
  }
  return std::get<std::int64_t>(argument.value);
}

/// Takes the command off the front of the arguments; without one, the program trains.
Action take_command(std::span<const std::string>& args) {
  const std::string_view word = args.empty() ? "" : std::string_view(args.front());
  const Action action = word == "plot"       ? Action::kPlot
                        : word == "tokenize" ? Action::kTokenize
                        : word == "generate" ? Action::kGenerate
                        : word == "convert"  ? Action::kConvert
                        : word == "schedule" ? Action::kSchedule
                        : word == "profile"  ? Action::kProfile
                                             : Action::kTrain;
  if (action != Action::kTrain) args = args.subspan(1);
  return action;
}

/// The program's option that an argument names, or nullptr: "-h", "--print_config", "--check=x".
const CLI::Option* own_option(const CLI::App& app, const std::string& argument) {
  std::string name = argument.substr(0, argument.find('='));
  std::ranges::replace(name, '_', '-');
  return name == "-h" || name.starts_with("--") ? app.get_option_no_throw(name) : nullptr;
}

/// Whether the word behind an argument is the value of an option of the config.
bool takes_next_word(const std::string& argument, std::string_view next) {
  if (!argument.starts_with("--") || argument.find('=') != std::string::npos) return false;
  std::string name = argument.substr(2);
  std::ranges::replace(name, '-', '_');
  const Option* option = find_option(name);
  const bool is_switch = option != nullptr && option->type == ValueType::kBool;
  return !is_switch || read_argument(*option, next).complaint.empty();
}

/// CLI11 sees the program's own options only: it would take "-hello", the value of another option,
/// for -h.
Sorted sort_arguments(const CLI::App& app, std::span<const std::string> args, Action command,
                      std::vector<std::string>& prompts) {
  Sorted result;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& argument = args[i];
    const bool has_next = i + 1 < args.size() && !args[i + 1].starts_with("--") &&
                          own_option(app, args[i + 1]) == nullptr;
    if (const CLI::Option* option = own_option(app, argument)) {
      const std::size_t equals = argument.find('=');
      std::optional<std::string> value;
      if (equals != std::string::npos) value = argument.substr(equals + 1);
      if (!value && has_next && option->get_items_expected_max() > 0) value = args[++i];
      if (value && option->get_name() == "--prompt") {
        prompts.push_back(std::move(*value));
      } else {
        result.own.push_back(option->get_name() + (value ? "=" + *value : ""));
      }
    } else if (command == Action::kConvert && !argument.starts_with("--")) {
      result.positional.push_back(argument);
    } else {
      result.rest.push_back(argument);
      if (has_next && takes_next_word(argument, args[i + 1])) result.rest.push_back(args[++i]);
    }
  }
  return result;
}

Action action_of(const CLI::App& app, const Words& words, Action command) {
  return words.help                      ? Action::kHelp
         : words.help_markdown           ? Action::kHelpMarkdown
         : words.version                 ? Action::kVersion
         : app.count("--completion") > 0 ? Action::kCompletion
         : words.print_config            ? Action::kPrintConfig
         : words.check                   ? Action::kCheck
         : words.show_lr                 ? Action::kShowLr
         : words.estimate                ? Action::kEstimate
         : words.show_plan               ? Action::kShowPlan
                                         : command;
}

/// `plot` takes files and folders where others take options of the config.
void take_inputs(ProgramArguments& result, Problems& problems) {
  for (const std::string& argument : result.rest) {
    if (argument.starts_with("--")) {
      problems.push_back({argument, "is not an option of plot"});
    } else {
      result.inputs.push_back(path_argument(argument, argument, problems));
    }
  }
  result.rest.clear();
  if (result.inputs.empty()) {
    problems.push_back(
        {"plot",
         "needs at least one run: its dump folder or metrics.jsonl; or the JSON of a comparison"});
  }
}

void refuse_two_actions(const Words& words, Problems& problems) {
  if (words.check && words.print_config) {
    problems.push_back({"--print-config", "does not go with --check"});
  }
  if (words.show_lr && (words.check || words.print_config)) {
    problems.push_back({"--show-lr", "does not go with --check or --print-config"});
  }
  if (words.estimate && (words.check || words.print_config || words.show_lr)) {
    problems.push_back({"--estimate", "does not go with --check, --print-config or --show-lr"});
  }
  if (words.show_plan && (words.check || words.print_config || words.show_lr || words.estimate)) {
    problems.push_back(
        {"--show-plan", "does not go with --check, --print-config, --show-lr or --estimate"});
  }
}

void read_counts(const CLI::App& app, const Words& words, ProgramArguments& result,
                 Problems& problems) {
  if (app.count("--world-size") > 0) {
    const char* misplaced =
        words.check || words.estimate || words.show_plan || result.action == Action::kSchedule
            ? ""
            : "only goes with --check, --estimate, --show-plan and schedule: a run takes its size "
              "from the "
              "launcher";
    result.world_size = read_count("--world-size", words.world_size, 1, misplaced, problems);
  }
  if (app.count("--nproc") > 0) {
    const bool trains = result.action == Action::kTrain || result.action == Action::kProfile;
    const char* misplaced =
        trains ? "" : "only goes with training and profile; --check has --world-size";
    result.nproc = read_count("--nproc", words.nproc, 1, misplaced, problems);
    constexpr std::int64_t kMostProcesses = 1024;
    if (result.nproc > kMostProcesses) {
      problems.push_back({"--nproc=" + words.nproc, concat("must be at most ", kMostProcesses)});
    }
  }
  if (app.count("--threads") > 0) {
    const char* misplaced = result.action == Action::kTokenize ? "" : "only goes with tokenize";
    result.threads = read_count("--threads", words.threads, 0, misplaced, problems).value_or(0);
    constexpr std::int64_t kMostThreads = 1024;
    if (result.threads > kMostThreads) {
      problems.push_back({"--threads=" + words.threads, concat("must be at most ", kMostThreads)});
    }
  }
}

void read_shell(const Words& words, ProgramArguments& result, Problems& problems) {
  constexpr auto kShells = kWords<Shell>;
  const auto found = std::ranges::find(kShells, words.completion);
  if (found == kShells.end()) {
    problems.push_back(
        {"--completion=" + words.completion, concat("must be ", joined(kShells, " or "))});
  } else {
    result.shell = static_cast<Shell>(found - kShells.begin());
  }
}

void read_output(const CLI::App& app, const Words& words, ProgramArguments& result,
                 Problems& problems) {
  const bool wanted = result.action == Action::kTokenize || result.action == Action::kPlot ||
                      result.action == Action::kEstimate || result.action == Action::kProfile;
  if (app.count("--output") > 0) {
    result.output = path_argument("--output=" + words.output, words.output, problems);
    if (!wanted || words.output.empty()) {
      problems.push_back(
          {"--output=" + words.output,
           wanted ? "needs a value" : "only goes with plot, tokenize, profile and --estimate"});
    }
  } else if (result.action == Action::kTokenize) {
    problems.push_back({"tokenize", "needs --output PATH: it writes PATH.bin and PATH.idx"});
  }
}

}  // namespace

ProgramArguments read_program_arguments(std::span<const std::string> args, Problems& problems) {
  ProgramArguments result;
  Words words;
  CLI::App app;
  declare(app, words);
  const Action command = take_command(args);
  Sorted sorted = sort_arguments(app, args, command, words.commands.prompts);
  result.rest = std::move(sorted.rest);
  std::ranges::reverse(sorted.own);  // CLI11 reads from the back
  try {
    app.parse(std::move(sorted.own));
  } catch (const CLI::ParseError& error) {
    problems.push_back({"command line", error.what()});
  }
  result.action = action_of(app, words, command);
  result.json = words.json;
  refuse_two_actions(words, problems);
  const bool prints_json =
      words.estimate || result.action == Action::kGenerate || result.action == Action::kProfile;
  if (words.json && !prints_json) {
    problems.push_back({"--json", "only goes with --estimate, generate and profile"});
  }
  if (result.action == Action::kPlot) take_inputs(result, problems);
  if (result.action == Action::kCompletion) read_shell(words, result, problems);
  read_counts(app, words, result, problems);
  read_output(app, words, result, problems);
  result.generate = read_generate(app, words.commands, result.action, problems);
  result.schedule = read_schedule(app, words.commands, result.action, problems);
  result.convert = read_convert(app, words.commands, sorted.positional, result.action, problems);
  return result;
}

std::vector<ProgramOption> program_option_table() {
  CLI::App app;
  Words words;
  declare(app, words);
  std::vector<ProgramOption> all;
  for (const CLI::Option* option : app.get_options()) {
    std::string type = option->get_type_name();
    const bool lists = type.find('|') != std::string::npos;
    std::ranges::replace(type, '|', ' ');
    all.push_back({option->get_lnames().front(), option->get_description(), lists ? type : "",
                   option->get_items_expected_max() > 0});
  }
  return all;
}

std::vector<std::string_view> program_options() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const ProgramOption& option : program_option_table()) all.push_back("--" + option.name);
    return all;
  }();
  return {names.begin(), names.end()};
}

std::string program_help() {
  CLI::App app(
      "titan_train            trains a large language model\n"
      "titan_train tokenize   writes the training data as token ids (--output)\n"
      "titan_train generate   goes on with texts (--checkpoint, --prompt)\n"
      "titan_train convert SOURCE DESTINATION  writes a model's weights in another format (--from, "
      "--to)\n"
      "titan_train schedule   simulates and draws a pipeline schedule (--name, --pp, "
      "--microbatches)\n"
      "titan_train profile    shows where the time of a step goes, operator by operator\n"
      "titan_train plot RUN...  draws the curves of runs (dump folders or metrics.jsonl) as SVG, "
      "or\n"
      "                       the bars of one FILE.json that tests/bench/side_by_side.py has "
      "written\n\n"
      "The options behind the program's own can stand in a TOML file, too.",
      "titan_train");
  Words words;
  declare(app, words);
  return app.help();
}

}  // namespace titan::config
