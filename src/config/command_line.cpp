#include "titan/config/command_line.h"

#include "config/compatibility.h"
#include "config/load.h"
#include "config/overrides.h"
#include "config/program_arguments.h"
#include "titan/base/errors.h"
#include "titan/config/options.h"
#include "titan/config/validate.h"

namespace titan::config {
namespace {

bool reads_config(Action action) {
  return action != Action::kPlot && action != Action::kHelp && action != Action::kHelpMarkdown &&
         action != Action::kVersion;
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
  return action == Action::kEstimate ? without_data(config) : config;
}

/// The folder is opened much later, by the tokenizer; a wrong one is worth knowing now.
void look_at_assets(CommandLine& result, base::FileSystem& files, Problems& problems) {
  const std::string& path = result.config.model.hf_assets_path;
  if (!files.exists(path)) {
    result.warnings.push_back(concat("HF assets path ", path, " does not exist!"));
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
                               std::int64_t world_size,
                               std::optional<std::int64_t> simulated_ranks) {
  CommandLine result;
  Problems problems;
  const ProgramArguments program = read_program_arguments(args, problems);
  result.action = program.action;
  result.inputs = program.inputs;
  result.output = program.output;
  result.threads = program.threads;
  result.generate = program.generate;
  result.convert = program.convert;
  result.json = program.json;
  result.nproc = program.nproc;
  if (result.action == Action::kPlot) {
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
  } else if (result.action == Action::kEstimate) {
    world_size = simulated_ranks.value_or(world_size);
  }
  const bool is_alone = result.action == Action::kGenerate || result.action == Action::kConvert;
  result.world_size =
      is_alone ? 1 : program.world_size.value_or(program.nproc.value_or(world_size));
  if (result.action != Action::kPrintConfig) {
    look_at_assets(result, files, problems);
    const JobConfig judged = judged_config(result.action, result.config);
    append(problems, cross_field_problems(judged, result.origins, result.world_size));
    append(problems, availability_problems(judged, result.origins, result.world_size));
  }
  throw_if_any(problems);
  return result;
}

}  // namespace titan::config
