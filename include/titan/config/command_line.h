#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "titan/base/file_system.h"
#include "titan/config/action.h"
#include "titan/config/job_config.h"
#include "titan/config/layout.h"
#include "titan/config/origins.h"
#include "titan/config/problem.h"

namespace titan::config {

/// The command line, understood.
struct CommandLine {
  Action action = Action::kTrain;
  JobConfig config;
  Origins origins;
  /// For the log, in order: deprecated options and the like.
  std::vector<std::string> warnings;
  /// `plot`: what to draw, folders of runs or metrics.jsonl files.
  std::vector<std::string> inputs;
  /// `--output` of `plot`, `tokenize`, `profile` and `--estimate`.
  std::optional<std::string> output;
  /// `--threads` of `tokenize`; 0: one per core.
  std::int64_t threads = 0;
  GenerateOptions generate;
  ConvertOptions convert;
  ScheduleOptions schedule;
  /// `--json` of `--estimate`, `generate` and `profile`.
  bool json = false;
  /// `--nproc`: the ranks to start as processes of this machine.
  std::optional<std::int64_t> nproc;
  /// `--completion`.
  Shell shell = Shell::kBash;
  /// Ranks the config was validated for: `--world-size` of `--check`, `--estimate` and `--show-plan`, `--nproc`,
  /// else what the caller gave.
  std::int64_t world_size = 1;
};

/// Who knows the models. Either may be empty.
struct ModelJudge {
  /// What it has against the model that a config names.
  std::function<Problems(const JobConfig&, const Origins&, std::int64_t world_size)> problems;
  /// Which layouts that model allows.
  ModelLayouts layouts;
};

/// Reads the arguments (without the program's name) and every TOML file they name.
///
/// Precedence: command line > later --job.config_file > earlier one > a file's `base` > defaults.
/// memory_estimation.enable turns training into `--estimate`.
///
/// Training, the other commands, `--show-lr`, `--estimate`, `--show-plan` and `--check` also apply the rules of
/// validate.h for `world_size` ranks; `--print-config` does not, so that a config for another build can be
/// looked at. Help and version are returned whatever else is on the line, with nothing read; `plot` takes
/// no options of the config.
///
/// `world_size` is the number of ranks that the launcher started; `simulated_ranks` (NGPU) the number
/// where comm.mode puts other things in their place. Such a job trains one step, unless the command
/// line says how many.
///
/// `--check` also looks for every file and folder that a run would read, and asks for `models.problems`; the
/// others do not, because a mistake is to be reported before any library is loaded. `models.layouts` are asked for only when
/// a layout is refused.
///
/// Throws one ConfigError that lists every problem of all files and the command line.
CommandLine parse_command_line(std::span<const std::string> args, base::FileSystem& files,
                               std::int64_t world_size = 1,
                               std::optional<std::int64_t> simulated_ranks = std::nullopt,
                               const ModelJudge& models = {});

}  // namespace titan::config
