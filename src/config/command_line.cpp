#include "titan/config/command_line.h"

#include <algorithm>
#include <filesystem>

#include "config/home_folder.h"
#include "config/overrides.h"
#include "config/path_problems.h"
#include "config/program_arguments.h"
#include "config/toml_file.h"
#include "titan/base/errors.h"
#include "titan/config/availability.h"
#include "titan/config/options.h"
#include "titan/config/validate.h"

namespace titan::config {
namespace {

constexpr std::uint64_t kMaxFileBytes = 1 << 20;
constexpr std::size_t kMaxChain = 32;

/// "configs/./x.toml" and "configs/x.toml" are the same file of a circle.
std::string normal(const std::filesystem::path& path) { return path.lexically_normal().string(); }

/// Merges TOML files and overrides into one config, remembering where each value came from.
class Loader {
 public:
  Loader(base::FileSystem& files, Problems& problems) : files_(files), problems_(problems) {}

  /// Loads the file and, before it, its chain of `base` files. `named_by` tells who asked for it.
  void load_file(const std::string& given_path, const std::string& named_by) {
    const std::string path = normal(with_home(given_path));
    const bool circle = std::ranges::find(chain_, path) != chain_.end();
    if (circle || chain_.size() == kMaxChain) {
      problems_.push_back(
          {named_by, concat(circle ? "base files form a circle: " : "too many base files: ",
                            joined(chain_, " -> "), " -> ", path)});
      return;
    }
    chain_.push_back(path);
    try {
      if (files_.is_directory(path)) {
        throw RunError(concat("'", path, "' is a directory, not a TOML file"));
      }
      const std::string text = base::read_whole_file(files_, path, kMaxFileBytes);
      const TomlFile file = read_toml(text, path, problems_);
      if (file.base) {
        load_base(file, path);
      }
      std::ranges::for_each(file.assignments, [this](const Assignment& a) { apply(a); });
    } catch (const RunError& error) {
      problems_.push_back({named_by, error.what()});
    }
    chain_.pop_back();
  }

  void apply(const Assignment& assignment) {
    const auto* text = std::get_if<std::string>(&assignment.value);
    const bool is_path = assignment.option->is_path && text != nullptr;
    assignment.option->set(config, is_path ? Value(with_home(*text)) : assignment.value);
    origins.set(assignment.option->full_name(), assignment.origin);
  }

  JobConfig config;
  Origins origins;

 private:
  void load_base(const TomlFile& file, const std::string& path) {
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    load_file((folder / with_home(*file.base)).string(), file.base_origin);
  }

  base::FileSystem& files_;
  Problems& problems_;
  std::vector<std::string> chain_;  ///< files being loaded: each is the base of the one before
};

/// Moves what is said in deprecated options to where it is said today. Returns the warnings.
std::vector<std::string> modernize(JobConfig& config, Origins& origins) {
  std::vector<std::string> warnings;
  if (!config.experimental.custom_args_module.empty()) {
    warnings.push_back(concat(origins.of("experimental.custom_args_module"),
                              ": experimental.custom_args_module is deprecated and has no effect"));
  }
  if (config.model.tokenizer_path) {
    const std::string origin = origins.of("model.tokenizer_path");
    warnings.push_back(concat(origin,
                              ": model.tokenizer_path is deprecated, use model.hf_assets_path. "
                              "Setting hf_assets_path to tokenizer_path, '",
                              *config.model.tokenizer_path, "'"));
    config.model.hf_assets_path = *config.model.tokenizer_path;
    config.model.tokenizer_path.reset();
    origins.set("model.hf_assets_path", origin);
  }
  for (std::string& converter : config.model.converters) {
    if (converter == "float8") {
      converter = "quantize.linear.float8";
      warnings.push_back(concat(origins.of("model.converters"),
                                ": converter \"float8\" is deprecated, use "
                                "\"quantize.linear.float8\""));
    }
  }
  return warnings;
}

bool reads_config(Action action) {
  return action != Action::kPlot && action != Action::kHelp && action != Action::kHelpMarkdown &&
         action != Action::kVersion && action != Action::kCompletion;
}

void load_files(std::span<const Assignment> overrides, Loader& loader) {
  for (const Assignment& assignment : overrides) {
    if (assignment.option->full_name() == "job.config_file") {
      const std::string path = std::get<StringList>(assignment.value).front();
      loader.load_file(path, "--job.config_file=" + path);
    }
  }
}

void apply_overrides(std::span<const Assignment> overrides, Loader& loader) {
  StringList config_files;
  for (const Assignment& assignment : overrides) {
    if (assignment.option->full_name() == "job.config_file") {
      config_files.push_back(std::get<StringList>(assignment.value).front());
    } else {
      loader.apply(assignment);
    }
  }
  if (!config_files.empty()) {
    loader.apply({find_option("job.config_file"), config_files, "command line"});
  }
}

void append(Problems& problems, const Problems& more) {
  problems.insert(problems.end(), more.begin(), more.end());
}

bool forecasts(Action action) { return action == Action::kEstimate || action == Action::kShowPlan; }

/// A forecast reads no data, so that it does not matter where they are.
JobConfig without_data(JobConfig config) {
  config.training.dataset = "c4_test";
  config.validation.enable = false;
  return config;
}

/// What is left of a config where nothing is trained: layouts for many ranks and data that are elsewhere
/// do not keep a model from being converted.
JobConfig model_only(const JobConfig& config) {
  JobConfig result;
  result.model = config.model;
  result.training.seq_len = config.training.seq_len;
  result.training.dtype = config.training.dtype;
  result.training.device = config.training.device;
  return result;
}

/// The config as far as the action looks at it.
JobConfig judged_config(Action action, const JobConfig& config) {
  if (action == Action::kGenerate || action == Action::kConvert) return model_only(config);
  return forecasts(action) || action == Action::kSchedule ? without_data(config) : config;
}

/// The folder is opened much later, by the tokenizer; a wrong one is worth knowing now.
void look_at_assets(CommandLine& result, base::FileSystem& files, Problems& problems) {
  const std::string& path = result.config.model.hf_assets_path;
  if (!files.exists(path)) {
    if (result.action != Action::kCheck) {  // which reports every path
      result.warnings.push_back(concat("HF assets path ", path, " does not exist!"));
    }
  } else if (path.ends_with("tokenizer.model")) {
    problems.push_back({result.origins.of("model.hf_assets_path"),
                        concat("model.hf_assets_path names an old tokenizer.model: download the "
                               "model's Hugging Face tokenizer files and name their folder, got '",
                               path, "'")});
  }
}

constexpr std::int64_t kMostThreads = 4096;
constexpr std::int64_t kMostPretended = 1'000'000;

/// The number of ranks of a job without a launcher's; it is a dry run of one step by default.
std::int64_t simulate(CommandLine& result, std::optional<std::int64_t> simulated_ranks,
                      bool world_size_given, Problems& problems) {
  if (result.action == Action::kTrain && result.origins.of("training.steps") != "command line") {
    result.config.training.steps = 1;
    result.origins.set("training.steps", "comm.mode: one step, unless the command line says more");
  }
  if (!simulated_ranks && !world_size_given && result.action == Action::kTrain) {
    problems.push_back({result.origins.of("comm.mode"),
                        "comm.mode: the number of ranks comes from the environment variable NGPU, "
                        "which is not set"});
  }
  const bool threads = result.config.comm.mode == CommMode::kLocalTensor;
  const std::int64_t most = threads ? kMostThreads : kMostPretended;
  if (simulated_ranks.value_or(1) > most) {
    problems.push_back({concat("NGPU=", *simulated_ranks),
                        concat("comm.mode has at most ", most, " ranks",
                               threads ? " that are threads of one process" : "")});
    return 1;
  }
  return simulated_ranks.value_or(1);
}

}  // namespace

CommandLine parse_command_line(std::span<const std::string> args, base::FileSystem& files,
                               std::int64_t world_size, std::optional<std::int64_t> simulated_ranks,
                               const ModelJudge& models) {
  CommandLine result;
  Problems problems;
  const ProgramArguments program = read_program_arguments(args, problems);
  result.action = program.action;
  result.inputs = program.inputs;
  result.output = program.output;
  result.threads = program.threads;
  result.generate = program.generate;
  result.convert = program.convert;
  result.schedule = program.schedule;
  result.json = program.json;
  result.nproc = program.nproc;
  result.shell = program.shell;
  if (result.action == Action::kPlot || result.action == Action::kCompletion) {
    throw_if_any(problems);
  }
  if (!reads_config(result.action)) {
    return result;
  }
  const std::vector<Assignment> overrides =
      read_overrides(program.rest, program_options(), problems);
  Loader loader(files, problems);
  load_files(overrides, loader);
  apply_overrides(overrides, loader);
  result.config = std::move(loader.config);
  result.origins = std::move(loader.origins);
  result.warnings = modernize(result.config, result.origins);
  if (result.action == Action::kTrain && result.config.memory_estimation.enable) {
    result.action = Action::kEstimate;
  }
  if (result.config.comm.mode != CommMode::kDefault) {
    world_size = simulate(result, simulated_ranks, program.world_size.has_value(), problems);
  } else if (forecasts(result.action)) {
    world_size = simulated_ranks.value_or(world_size);
  }
  const bool is_alone = result.action == Action::kGenerate || result.action == Action::kConvert;
  result.world_size =
      is_alone ? 1 : program.world_size.value_or(program.nproc.value_or(world_size));
  // A schedule is looked at with or without a job.
  const bool is_schedule_alone = result.action == Action::kSchedule && !program.world_size;
  if (result.action != Action::kPrintConfig && !is_schedule_alone) {
    look_at_assets(result, files, problems);
    const JobConfig judged = judged_config(result.action, result.config);
    append(problems,
           cross_field_problems(judged, result.origins, result.world_size, models.layouts));
    append(problems, availability_problems(judged, result.origins, result.world_size));
  }
  if (result.action == Action::kCheck) {
    append(problems, path_problems(result.config, result.origins, files));
    if (models.problems) {
      append(problems, models.problems(result.config, result.origins, result.world_size));
    }
  }
  throw_if_any(problems);
  return result;
}

}  // namespace titan::config
