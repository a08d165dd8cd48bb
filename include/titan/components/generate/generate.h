#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace titan::nn {
class Module;
}

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

/// Logits `[1, S, vocab]` of token ids int64 `[1, S]`.
using LogitsFunction = std::function<at::Tensor(const at::Tensor& tokens)>;

/// What continues a text.
struct TextModel {
  LogitsFunction logits;
  /// What `logits` calls, when its attention may keep keys and values (nn::CachedText) while the text
  /// fits the context: each token is then one token's work, not the whole text's. Null: it may not.
  nn::Module* cached = nullptr;
  at::Device device = at::kCPU;
};

/// The tokens that the model puts behind `prompt` (not empty). A text longer than the context is
/// computed anew for every token, of its last ones. Random numbers come from `generator`, on the
/// CPU. Without gradients.
std::vector<std::int64_t> generate(const TextModel& model, const std::vector<std::int64_t>& prompt,
                                   const SamplingOptions& options, at::Generator generator);

}  // namespace titan::components
