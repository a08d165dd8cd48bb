#pragma once

#include "titan/parallel/layout.h"
#include "titan/protocols/step_runner.h"
#include "titan/step/batch_tensors.h"
#include "titan/step/graphed_microbatch.h"
#include "titan/step/language_calls.h"

namespace titan::step {

/// A step of a language model of which this rank has all: tokens pass its parts one after the other, one
/// microbatch behind the other.
class OneModel : public protocols::StepRunner {
 public:
  /// Throws ConfigError as LanguageCalls, and for models that cannot be captured where the setup has `graphs`.
  explicit OneModel(protocols::StepSetup setup);

  at::Tensor forward_backward(std::span<protocols::Batch> microbatches,
                              const at::Tensor& valid_tokens, std::int64_t step) override;
  at::Tensor loss_sum(protocols::Batch& batch) override;
  at::Tensor logits(const at::Tensor& tokens, std::shared_ptr<nn::KeyValueCaches> caches) override;
  bool keeps_keys_and_values() const override { return true; }

 private:
  at::Tensor loss_sum(protocols::Batch& batch, const BatchTensors& tensors);
  at::Tensor run(const at::Tensor& tokens, const nn::SharedSequence& sequence);
  at::Tensor microbatch(protocols::Batch& batch, const at::Tensor& valid_tokens, std::int64_t step);
  /// `tensors`: of `batch`. What `StepSetup::graphs` captures.
  at::Tensor loss_and_gradients(protocols::Batch& batch, const BatchTensors& tensors,
                                const at::Tensor& valid_tokens, std::int64_t step);

  protocols::StepSetup setup_;
  LanguageCalls calls_;
  parallel::Parameters parameters_;
  std::unique_ptr<GraphedMicrobatch> graphs_;  // null: every operator is called in every step
};

}  // namespace titan::step
