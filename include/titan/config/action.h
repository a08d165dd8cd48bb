#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/config/choice.h"
#include "titan/config/distributed.h"

namespace titan::config {

/// What the user asked the program to do.
enum class Action {
  kTrain,
  kTokenize,  ///< `titan_train tokenize`: the training data as token ids
  kGenerate,  ///< `titan_train generate`: what a model makes of prompts
  kConvert,   ///< `titan_train convert`: a model's weights in another format
  kProfile,   ///< `titan_train profile`: where the time of a step goes
  kSchedule,  ///< `titan_train schedule`: a pipeline schedule, simulated and drawn
  kPlot,      ///< `titan_train plot RUN...`: curves of runs
  kShowLr,
  kEstimate,  ///< memory and communication of a step, without a device
  kShowPlan,  ///< what tensor parallelism does to the model, likewise
  kCheck,
  kPrintConfig,
  kCompletion,  ///< `--completion SHELL`: a script that completes options
  kHelp,
  kHelpMarkdown,
  kVersion
};

enum class Shell { kBash, kZsh, kFish };
constexpr auto words(Shell) { return word_list("bash", "zsh", "fish"); }

/// What `generate` is asked for.
struct GenerateOptions {
  std::string checkpoint;
  std::vector<std::string> prompts;
  double temperature = 1;
  std::int64_t top_k = 0;  // 0: all tokens are drawn from
  std::int64_t max_tokens = 64;
  std::optional<std::int64_t> seed;
};

/// How a model's weights lie on disk.
enum class ModelFormat { kHf, kDcp, kPt };
constexpr auto words(ModelFormat) { return word_list("hf", "dcp", "pt"); }

/// What `convert` is asked for.
struct ConvertOptions {
  ModelFormat from = ModelFormat::kHf;
  ModelFormat to = ModelFormat::kDcp;
  std::string source;
  std::string destination;
  std::optional<ExportDType> dtype;  // nothing: as it is
};

/// What `schedule` is asked for.
struct ScheduleOptions {
  std::string name;                  ///< a schedule's, or a CSV file; empty: the config's
  std::int64_t ranks = 0;            ///< 0: the config's
  std::int64_t stages_per_rank = 0;  ///< 0: as the schedule has
  std::int64_t microbatches = 0;     ///< 0: the config's
  /// Of a forward, of an input's gradient, of the weights', of a transfer.
  std::array<double, 4> times = {1, 1, 1, 0};
  bool csv = false;  ///< print the schedule, not the picture
  std::optional<std::string> svg;
  std::optional<std::string> trace;
};

}  // namespace titan::config
