#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/file_system.h"
#include "titan/components/generate/generate.h"
#include "titan/components/metrics/side_file.h"
#include "titan/protocols/tokenizer.h"

namespace titan::trainer {

/// What the model makes of the prompts in validation.sample_prompts as training goes on: logged, and
/// one JSON object per sample in `samples.jsonl`. Random numbers follow from the
/// seed and the step.
class Samples {
 public:
  struct Options {
    std::vector<std::string> prompts;
    components::SamplingOptions sampling;
    std::uint64_t seed = 0;
    /// All ranks compute alike; one writes.
    bool writes = true;
    /// Samples of earlier steps stay, of a run that goes on.
    std::int64_t first_step = 0;
  };

  /// `files`, `tokenizer` and `model` outlive the object. Throws ConfigError for a
  /// prompt of no tokens, RunError when the file cannot be written.
  Samples(base::FileSystem& files, const std::string& dump_folder,
          const protocols::Tokenizer& tokenizer, protocols::StepRunner& model, Options options);

  void write(std::int64_t step);

 private:
  std::unique_ptr<components::SideFile> file_;
  const protocols::Tokenizer& tokenizer_;
  protocols::StepRunner& model_;
  Options options_;
  std::vector<std::vector<std::int64_t>> prompt_ids_;
};

}  // namespace titan::trainer
