#include "config/command_arguments.h"

#include <CLI/CLI.hpp>
#include <array>

#include "config/argument_value.h"
#include "config/home_folder.h"
#include "titan/base/errors.h"
#include "titan/config/option.h"

namespace titan::config {
namespace {

struct Declared {
  const char* name;
  std::string CommandWords::*word;
  const char* type;
  const char* help;
};

constexpr std::array kGenerate = {
    Declared{
        "--checkpoint", &CommandWords::checkpoint, "<path>",
        "generate: the weights: a checkpoint's folder (step-10), a folder of safetensors, or a "
        ".pt file."},
    Declared{"--prompt", &CommandWords::prompt, "<text>",
             "generate: the text to go on with; may be repeated."},
    Declared{"--temperature", &CommandWords::temperature, "<float>",
             "generate: divides the logits; 0 takes the likeliest token. Default 1."},
    Declared{"--top-k", &CommandWords::top_k, "<int>",
             "generate: draw from so many of the likeliest tokens; 0, the default, is all."},
    Declared{"--max-tokens", &CommandWords::max_tokens, "<int>",
             "generate: tokens to make at most. Default 64."},
    Declared{"--seed", &CommandWords::seed, "<int>",
             "generate: of the random numbers; without one, each call draws another text."}};
constexpr std::array kConvert = {
    Declared{
        "--from", &CommandWords::from, "hf|dcp|pt",
        "convert: what SOURCE is: a folder of safetensors (hf), a checkpoint's folder (dcp), a "
        "file of torch.save (pt)."},
    Declared{"--to", &CommandWords::to, "hf|dcp|pt", "convert: what DESTINATION becomes."},
    Declared{"--dtype", &CommandWords::dtype, "<type>",
             "convert: type of the numbers written: float32, bfloat16 or float16. Default: as they "
             "are."}};

constexpr std::array kSchedule = {
    Declared{"--name", &CommandWords::name, "<name>",
             "schedule: 1F1B, GPipe, Interleaved1F1B, LoopedBFS, InterleavedZeroBubble, "
             "ZBVZeroBubble, DualPipeV, or a CSV file. Default: the config's."},
    Declared{"--pp", &CommandWords::pp, "<int>",
             "schedule: ranks of the pipeline. Default: the config's."},
    Declared{"--stages-per-rank", &CommandWords::stages_per_rank, "<int>",
             "schedule: default 1 or 2, as the schedule has."},
    Declared{"--microbatches", &CommandWords::microbatches, "<int>",
             "schedule: default: those of the config's local batch."},
    Declared{"--times", &CommandWords::times, "<f,i,w,t>",
             "schedule: how long a forward, the gradient of the inputs, that of the weights and a "
             "transfer take. Default 1,1,1,0."},
    Declared{"--svg", &CommandWords::svg, "<path>", "schedule: where a picture goes."},
    Declared{"--trace", &CommandWords::trace, "<path>",
             "schedule: where a trace for Perfetto goes."}};

template <class Table>
void declare_table(CLI::App& app, CommandWords& words, const Table& table) {
  for (const Declared& option : table) {
    app.add_option(option.name, words.*option.word, option.help)
        ->expected(0, 1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
        ->type_name(option.type);
  }
}

/// Whether an option was given; reports it when it belongs to another command or has no value.
class Given {
 public:
  Given(const CLI::App& app, const CommandWords& words, Problems& problems)
      : app_(app), words_(words), problems_(problems) {}

  template <class Table>
  void refuse(const Table& table, const char* command) {
    for (const Declared& option : table) {
      const bool is_prompt = option.word == &CommandWords::prompt;
      if (app_.count(option.name) == 0 && !(is_prompt && !words_.prompts.empty())) continue;
      const bool is_seed = option.word == &CommandWords::seed;
      report(option.name, is_prompt ? words_.prompts.back() : words_.*option.word,
             concat("only goes with ", command, is_seed ? "; training has --debug.seed" : ""));
    }
  }

  void need(const char* command, const char* name, const std::string& word, const char* what) {
    if (app_.count(name) == 0) {
      problems_.push_back({command, concat("needs ", name, " ", what)});
    } else if (word.empty()) {
      report(name, word, "needs a value");
    }
  }

  template <class Number>
  void read(const char* name, const std::string& word, double least, Number& result) {
    if (app_.count(name) == 0) return;
    Option option;
    option.type = std::is_integral_v<Number> ? ValueType::kInteger : ValueType::kFloat;
    option.at_least(least);
    const ArgumentValue argument = read_argument(option, word);
    const std::string complaint = word.empty() ? "needs a value"
                                  : !argument.complaint.empty()
                                      ? argument.complaint
                                      : option.complaint_about(argument.value);
    if (!complaint.empty()) return report(name, word, complaint);
    result = std::get<Number>(argument.value);
  }

  template <Choice E>
  std::optional<E> choose(const char* name, const std::string& word) {
    if (app_.count(name) == 0 || word.empty()) return std::nullopt;
    for (std::size_t i = 0; i < kWords<E>.size(); ++i) {
      if (word == kWords<E>[i]) return static_cast<E>(i);
    }
    Option option;
    option.type = ValueType::kChoice;
    option.choices = {kWords<E>.begin(), kWords<E>.end()};
    report(name, word, option.complaint_about(word));
    return std::nullopt;
  }

 private:
  void report(const std::string& name, const std::string& word, const std::string& complaint) {
    problems_.push_back({concat(name, "=", word), complaint});
  }

  const CLI::App& app_;
  const CommandWords& words_;
  Problems& problems_;
};

/// Help and version, which ignore the rest of the line.
bool ignores_the_rest(Action action) {
  return action == Action::kHelp || action == Action::kHelpMarkdown || action == Action::kVersion;
}

}  // namespace

void declare_commands(CLI::App& app, CommandWords& words) {
  declare_table(app, words, kGenerate);
  declare_table(app, words, kConvert);
  declare_table(app, words, kSchedule);
  app.add_flag("--csv", words.csv,
               "schedule: print each rank's actions, as PyTorch reads and writes them.");
}

GenerateOptions read_generate(const CLI::App& app, const CommandWords& words, Action action,
                              Problems& problems) {
  GenerateOptions options;
  if (ignores_the_rest(action)) return options;
  Given given(app, words, problems);
  if (action != Action::kGenerate) {
    given.refuse(kGenerate, "generate");
    return options;
  }
  options.checkpoint =
      path_argument("--checkpoint=" + words.checkpoint, words.checkpoint, problems);
  options.prompts = words.prompts;
  given.need("generate", "--checkpoint", words.checkpoint, "PATH: where the weights are");
  if (options.prompts.empty()) {
    problems.push_back({"generate", "needs --prompt TEXT: what to go on with"});
  }
  given.read("--temperature", words.temperature, 0, options.temperature);
  given.read("--top-k", words.top_k, 0, options.top_k);
  given.read("--max-tokens", words.max_tokens, 1, options.max_tokens);
  std::int64_t seed = -1;
  given.read("--seed", words.seed, 0, seed);
  if (seed >= 0) options.seed = seed;
  return options;
}

ConvertOptions read_convert(const CLI::App& app, const CommandWords& words,
                            const std::vector<std::string>& positional, Action action,
                            Problems& problems) {
  ConvertOptions options;
  if (ignores_the_rest(action)) return options;
  Given given(app, words, problems);
  if (action != Action::kConvert) {
    given.refuse(kConvert, "convert");
    return options;
  }
  given.need("convert", "--from", words.from, "FORMAT: hf, dcp or pt");
  given.need("convert", "--to", words.to, "FORMAT: hf, dcp or pt");
  options.from = given.choose<ModelFormat>("--from", words.from).value_or(options.from);
  options.to = given.choose<ModelFormat>("--to", words.to).value_or(options.to);
  options.dtype = given.choose<ExportDType>("--dtype", words.dtype);
  if (positional.size() != 2) {
    problems.push_back({"convert", concat("needs SOURCE and DESTINATION, got ", positional.size(),
                                          positional.size() == 1 ? " path" : " paths")});
    return options;
  }
  options.source = path_argument(positional[0], positional[0], problems);
  options.destination = path_argument(positional[1], positional[1], problems);
  return options;
}

namespace {

/// Four numbers that are not negative, with commas between.
std::optional<std::array<double, 4>> read_times(std::string_view text) {
  std::array<double, 4> times{};
  for (std::size_t i = 0; i < times.size(); ++i) {
    const std::size_t end = text.find(',');
    if ((end == std::string_view::npos) != (i + 1 == times.size())) return std::nullopt;
    Option option;
    option.type = ValueType::kFloat;
    const ArgumentValue number = read_argument(option, text.substr(0, end));
    if (!number.complaint.empty()) return std::nullopt;
    times.at(i) = std::get<double>(number.value);
    if (!(times.at(i) >= 0) || times.at(i) > 1e12) return std::nullopt;
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return times;
}

}  // namespace

ScheduleOptions read_schedule(const CLI::App& app, const CommandWords& words, Action action,
                              Problems& problems) {
  ScheduleOptions options;
  if (ignores_the_rest(action)) return options;
  Given given(app, words, problems);
  if (action != Action::kSchedule) {
    given.refuse(kSchedule, "schedule");
    if (words.csv) problems.push_back({"--csv", "only goes with schedule"});
    return options;
  }
  options.name = words.name;
  options.csv = words.csv;
  given.read("--pp", words.pp, 1, options.ranks);
  given.read("--stages-per-rank", words.stages_per_rank, 1, options.stages_per_rank);
  given.read("--microbatches", words.microbatches, 1, options.microbatches);
  if (app.count("--times") > 0) {
    if (const auto times = read_times(words.times)) {
      options.times = *times;
    } else {
      problems.push_back(
          {"--times=" + words.times, "must be four numbers of at least 0, as 1,1,1,0.1"});
    }
  }
  if (app.count("--svg") > 0)
    options.svg = path_argument("--svg=" + words.svg, words.svg, problems);
  if (app.count("--trace") > 0) {
    options.trace = path_argument("--trace=" + words.trace, words.trace, problems);
  }
  return options;
}

}  // namespace titan::config
