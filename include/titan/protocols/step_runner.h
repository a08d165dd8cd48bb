#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "titan/comm/rank_context.h"
#include "titan/nn/key_value_cache.h"
#include "titan/protocols/data_loader.h"
#include "titan/protocols/model_part.h"
#include "titan/protocols/tokenizer.h"

namespace titan::tools {
class GraphCapture;
}

namespace titan::protocols {

/// Sum of the losses of all valid tokens of a microbatch: (prediction `[B, S, V]`, labels int64
/// `[B, S]`) to a 0-dim fp32 tensor.
using LossFunction =
    std::function<at::Tensor(const at::Tensor& prediction, const at::Tensor& labels)>;

/// How batches become losses, gradients and logits: one description of a step for training, validation,
/// samples, generation and the forecast. All ranks of a job call the same methods in the same order.
class StepRunner {
 public:
  virtual ~StepRunner() = default;

  /// Forward and backward of one step's microbatches. On return the parameters' gradients are summed over
  /// all ranks. Returns the sum of this rank's losses, each divided by `valid_tokens` (0-dim, of the whole
  /// job), detached, on the device; 0 where the rank computes no loss. `step` is for messages about hangs.
  virtual at::Tensor forward_backward(std::span<Batch> microbatches, const at::Tensor& valid_tokens,
                                      std::int64_t step) = 0;

  /// Sum of the losses of a batch's valid tokens, 0-dim fp32 on the device. Without gradients.
  virtual at::Tensor loss_sum(Batch& batch) = 0;

  /// Logits `[B, S, vocab]` of tokens int64 `[B, S]`, each row one document; with `caches`, of the tokens
  /// behind those that they hold. Without gradients.
  virtual at::Tensor logits(const at::Tensor& tokens,
                            std::shared_ptr<nn::KeyValueCaches> caches = nullptr) = 0;
  /// Whether `logits` takes caches.
  virtual bool keeps_keys_and_values() const { return false; }
};

/// What a step is made of. References outlive the runner.
struct StepSetup {
  const ModelParts& parts;
  const comm::RankContext& context;
  const config::JobConfig& config;
  LossFunction loss;                     // empty: the runner makes logits only
  const Tokenizer* tokenizer = nullptr;  // null for models without one
  /// Called before each microbatch of `forward_backward` with its number, from 0.
  std::function<void(std::int64_t)> before_microbatch = nullptr;
  /// What captures forward and backward of a microbatch (`compile.cuda_graphs`); null: nothing is captured.
  tools::GraphCapture* graphs = nullptr;
};

/// Throws ConfigError when the model cannot do what the job asks for.
using BuildStepRunnerFn = std::function<std::unique_ptr<StepRunner>(StepSetup)>;

}  // namespace titan::protocols
