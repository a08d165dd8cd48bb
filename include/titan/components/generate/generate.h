#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "titan/protocols/step_runner.h"

namespace titan::components {

/// How the next token is chosen.
struct SamplingOptions {
  /// At most so many tokens.
  std::int64_t max_new_tokens = 64;
  /// Divides the logits; 0 takes the likeliest token.
  double temperature = 1;
  /// Only so many of the likeliest tokens are drawn from; 0: all.
  std::int64_t top_k = 0;
  /// The model sees so many tokens at most: the last ones.
  std::int64_t context = 2048;
  /// Ends the text, and is not part of it.
  std::optional<std::int64_t> eos_id;
};

/// The tokens that the model puts behind `prompt` (not empty). Keys and values are kept while the text fits
/// the context, where the model can do that: each token is then one token's work, not the whole text's. A
/// longer text is computed anew for every token, of its last ones. Random numbers come from `generator`, on
/// the CPU. Without gradients.
std::vector<std::int64_t> generate(protocols::StepRunner& model,
                                   const std::vector<std::int64_t>& prompt,
                                   const SamplingOptions& options, at::Generator generator);

}  // namespace titan::components
