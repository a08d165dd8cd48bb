#pragma once

#include "titan/config/command_line.h"
#include "titan/schedule/schedule.h"
#include "titan/tools/startup_times.h"

namespace titan::app {

/// The half of the program that needs LibTorch. It is a library of its own, loaded when there is
/// something to train, because loading LibTorch takes 0.3 s that `--help` and a mistake in a config
/// should not wait for.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Trains one rank; returns 0, or 128 + the signal that ended the run early. Throws ConfigError,
  /// RunError.
  virtual int train(const config::CommandLine& command, tools::StartupTimes& startup_times) = 0;
  /// Trains a few steps and shows where the time of one goes; returns as `train` does. Throws ConfigError, RunError.
  virtual int profile(const config::CommandLine& command, tools::StartupTimes& startup_times) = 0;
  /// Writes the training data as token ids; returns 0. Throws ConfigError, RunError.
  virtual int tokenize(const config::CommandLine& command) = 0;
  /// Prints what a model makes of prompts; returns 0. Throws ConfigError, RunError.
  virtual int generate(const config::CommandLine& command) = 0;
  /// Writes a model's weights in another format; returns 0. Throws ConfigError, RunError.
  virtual int convert(const config::CommandLine& command) = 0;
  /// Forecasts a step of rank 0: tables, or JSON, on standard output; with `output`, JSON there and
  /// tables on standard output. Returns 0. Throws ConfigError, RunError.
  virtual int estimate(const config::CommandLine& command) = 0;
  /// Prints the tensor-parallel plan of the job as rank 0 has it; returns 0. Throws ConfigError, RunError.
  virtual int show_plan(const config::CommandLine& command) = 0;
  /// The pipeline schedule of the job's computations, of the stages that its model is cut into. Throws ConfigError.
  virtual schedule::Schedule job_schedule(const config::JobConfig& config) = 0;
  /// A model, flavor or converter that is not registered, and what a model does not let be done with it.
  virtual config::Problems model_problems(const config::JobConfig& config,
                                          const config::Origins& origins,
                                          std::int64_t world_size) = 0;
  /// The layouts that a config's model allows: of a name that is not registered, all.
  virtual config::LayoutFits model_layouts(const config::JobConfig& config) = 0;
};

/// Loads libtitan_engine.so from the program's folder. Throws RunError with the loader's reason.
Engine& load_engine();

}  // namespace titan::app
