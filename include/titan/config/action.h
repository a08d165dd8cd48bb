#pragma once

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

}  // namespace titan::config
