#pragma once

#include <optional>
#include <vector>

#include "titan/parallel/layout.h"
#include "titan/protocols/step_runner.h"
#include "titan/step/precision.h"

namespace titan::step {

/// A step of a language model of which this rank has all: tokens pass its parts one after the other, one
/// microbatch behind the other.
class OneModel : public protocols::StepRunner {
 public:
  /// Throws ConfigError when the model attends within documents and nothing says where they are, or cannot
  /// and should.
  explicit OneModel(protocols::StepSetup setup);

  at::Tensor forward_backward(std::span<protocols::Batch> microbatches,
                              const at::Tensor& valid_tokens, std::int64_t step) override;
  at::Tensor loss_sum(protocols::Batch& batch) override;
  at::Tensor logits(const at::Tensor& tokens, std::shared_ptr<nn::KeyValueCaches> caches) override;
  bool keeps_keys_and_values() const override { return true; }

 private:
  at::Tensor loss_sum(protocols::Batch& batch, bool pinned);
  bool attends_within_documents() const;
  at::Tensor documents_of(protocols::Batch& batch, const at::Tensor& tokens) const;
  void mask_documents(nn::SequenceInfo& sequence, const at::Tensor& documents) const;
  at::Tensor run(const at::Tensor& tokens, nn::SequenceInfo sequence);
  std::int64_t vocab_size() const;
  at::Tensor microbatch(protocols::Batch& batch, const at::Tensor& valid_tokens, std::int64_t step);

  protocols::StepSetup setup_;
  Precision precision_;
  parallel::Parameters parameters_;
};

}  // namespace titan::step
