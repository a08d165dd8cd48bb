#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace titan::components {

/// How the next token is chosen.
struct SamplingOptions {
  /// At most so many tokens.
  std::int64_t max_new_tokens = 64;
  /// Divides the logits; 0 takes the likeliest token.
  double temperature = 1;
  /// The model sees so many tokens at most: the last ones.
  std::int64_t context = 2048;
  /// Ends the text, and is not part of it.
  std::optional<std::int64_t> eos_id;
};

/// Logits `[1, S, vocab]` of token ids int64 `[1, S]`.
using LogitsFunction = std::function<at::Tensor(const at::Tensor& tokens)>;

/// The tokens that the model puts behind `prompt` (not empty), whose device is `device`. Random
/// numbers come from `generator`, on the CPU. Without gradients.
std::vector<std::int64_t> generate(const LogitsFunction& logits,
                                   const std::vector<std::int64_t>& prompt,
                                   const SamplingOptions& options, at::Device device,
                                   at::Generator generator);

}  // namespace titan::components
