#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "titan/nn/key_value_cache.h"
#include "titan/nn/sequence_info.h"
#include "titan/parallel/autocast.h"
#include "titan/parallel/context_parallel.h"
#include "titan/protocols/step_runner.h"
#include "titan/step/precision.h"

namespace titan::step {

/// How a language model is called, whoever runs it: which documents its tokens belong to, in what it computes, and
/// what tensor and context parallelism ask of texts and make of logits.
class LanguageCalls {
 public:
  /// Throws ConfigError when the model attends within documents and nothing says where they are, or cannot and
  /// should. `setup` outlives the object.
  explicit LanguageCalls(const protocols::StepSetup& setup);

  const Precision& precision() const { return precision_; }
  /// For the time of a forward.
  parallel::AutocastScope autocast() const;

  /// Tokens or labels `[rows, sequence]` as this rank works on them: its part of every text where context parallelism
  /// cuts texts, else all.
  at::Tensor part_of(const at::Tensor& whole) const { return cut_.part_of(whole, 1); }
  /// How many tokens of a text these are.
  std::int64_t part_length(std::int64_t seq_len) const { return seq_len / cut_.ranks; }
  /// What this rank's part of the rows `[first, first + rows)` of a batch is. `tokens`: all of the batch, on the device.
  nn::SharedSequence sequence_of(protocols::Batch& batch, const at::Tensor& tokens,
                                 std::int64_t first, std::int64_t rows) const;

  /// Texts of which logits are wanted.
  struct Texts {
    at::Tensor tokens;  // on the device, with tokens of no meaning behind each text
    std::int64_t length = 0;
    nn::SharedSequence sequence;
  };
  /// Of tokens int64 `[B, S]`, each row one document, behind what `caches` (may be null) hold. The number of tokens
  /// becomes a multiple of the ranks that share them.
  Texts texts(const at::Tensor& tokens, const std::shared_ptr<nn::KeyValueCaches>& caches) const;
  /// What a model has made of texts, as `[B, S, vocab]`; All ranks of the last stage
  /// call it together.
  at::Tensor logits_of(const at::Tensor& output, const Texts& texts) const;
  std::int64_t vocab_size() const;
  /// Sum of the losses of what `call` gives back: logits, or, where the model makes the loss itself
  /// (parallel/loss_in_output.h), that.
  at::Tensor loss_of(const std::function<at::Tensor()>& call, const at::Tensor& labels) const;

 private:
  const protocols::ModelProtocol& model() const { return *setup_.parts.front().model; }
  at::Tensor documents_of(protocols::Batch& batch, const at::Tensor& tokens) const;
  nn::AttentionMask mask_of(const at::Tensor& documents) const;
  nn::AttentionMask mask_of_part(const at::Tensor& documents) const;

  const protocols::StepSetup& setup_;
  Precision precision_;
  parallel::TextCut cut_;
};

}  // namespace titan::step
