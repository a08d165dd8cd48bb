#pragma once

#include <memory>

#include "titan/parallel/layout.h"
#include "titan/pipeline/runtime.h"
#include "titan/pipeline/stages.h"
#include "titan/pipeline/tied_weights.h"
#include "titan/pipeline/timeline.h"
#include "titan/protocols/step_runner.h"
#include "titan/step/language_calls.h"

namespace titan::step {

/// A step of a language model of which this rank has stages: the rows of a batch pass all ranks of the pipeline in
/// microbatches, in the order of the job's schedule. Every rank of the pipeline reads the same batch, so that
/// nothing but activations and their gradients goes between stages.
class Pipelined : public protocols::StepRunner {
 public:
  /// Throws ConfigError as LanguageCalls, and for a schedule that there is not.
  explicit Pipelined(protocols::StepSetup setup);

  at::Tensor forward_backward(std::span<protocols::Batch> microbatches,
                              const at::Tensor& valid_tokens, std::int64_t step) override;
  at::Tensor loss_sum(protocols::Batch& batch) override;
  at::Tensor logits(const at::Tensor& tokens, std::shared_ptr<nn::KeyValueCaches> caches) override;
  bool keeps_keys_and_values() const override { return true; }

  const pipeline::Runtime& runtime() const { return *runtime_; }

 private:
  pipeline::Boundary boundary(std::int64_t rows, std::int64_t length) const;
  pipeline::StageForward forward_of(protocols::Batch& batch, std::int64_t rows,
                                    const at::Tensor& valid_tokens);
  at::Tensor sum_of(const std::vector<at::Tensor>& losses) const;

  protocols::StepSetup setup_;
  LanguageCalls calls_;
  pipeline::Plan plan_;
  std::unique_ptr<pipeline::Runtime> runtime_;
  pipeline::TimelineWriter timelines_;
  parallel::Parameters parameters_;
  pipeline::TiedWeights tied_weights_;
};

}  // namespace titan::step
