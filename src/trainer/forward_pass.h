#pragma once

#include <ATen/core/Tensor.h>

#include "titan/protocols/train_spec.h"

namespace titan::trainer {

/// How tokens become logits and a loss: one way for training, validation and samples.
class ForwardPass {
 public:
  struct Options {
    at::Device device = at::kCPU;
    /// Of the parameters.
    at::ScalarType dtype = at::kFloat;
    /// Computes in bfloat16 where autocast does.
    bool autocast = false;
    /// Documents begin where the batch says so, and attention stays within them; else they end at
    /// EOS tokens, for models that want to know.
    bool document_mask = false;
  };

  /// All outlive the object; `tokenizer` may be null. Throws ConfigError when the model attends
  /// within documents and nothing says where they are, or cannot and should.
  ForwardPass(protocols::ModelProtocol& model, const protocols::Tokenizer* tokenizer,
              protocols::LossFunction loss, Options options);

  /// Sum of the losses of the batch's valid tokens, 0-dim fp32.
  at::Tensor loss_sum(protocols::Batch& batch);
  /// Logits `[B, S, vocab]` of tokens int64 `[B, S]`, each row one document.
  at::Tensor logits(const at::Tensor& tokens);

 private:
  at::Tensor documents_of(protocols::Batch& batch, const at::Tensor& tokens) const;
  at::Tensor run(const at::Tensor& tokens, const at::Tensor& documents);

  protocols::ModelProtocol& model_;
  const protocols::Tokenizer* tokenizer_;
  protocols::LossFunction loss_;
  Options options_;
};

}  // namespace titan::trainer
