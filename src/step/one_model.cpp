#include "titan/step/one_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>

#include <utility>

#include "titan/config/job_config.h"
#include "titan/step/batch_tensors.h"
#include "titan/step/graph_rules.h"
#include "titan/step/phase.h"

namespace titan::step {

OneModel::OneModel(protocols::StepSetup setup)
    : setup_(std::move(setup)),
      calls_(setup_),
      parameters_(protocols::parameters_of(setup_.parts)) {
  if (setup_.graphs == nullptr) return;
  for (const protocols::ModelPart& part : setup_.parts) check_can_be_captured(*part.model);
  graphs_ = std::make_unique<GraphedMicrobatch>(*setup_.graphs, setup_.context.device, parameters_);
}

at::Tensor OneModel::forward_backward(std::span<protocols::Batch> microbatches,
                                      const at::Tensor& valid_tokens, std::int64_t step) {
  std::vector<at::Tensor> losses;
  for (std::size_t i = 0; i < microbatches.size(); ++i) {
    if (setup_.before_microbatch) setup_.before_microbatch(static_cast<std::int64_t>(i));
    const bool is_last = i + 1 == microbatches.size();
    for (const protocols::ModelPart& part : setup_.parts) {
      part.sharding->set_requires_gradient_sync(is_last || part.sharding->sums_every_microbatch());
    }
    losses.push_back(microbatch(microbatches[i], valid_tokens, step));
  }
  parallel::sum_partial_gradients(parameters_, setup_.context);
  return at::sum(at::stack(losses));
}

at::Tensor OneModel::microbatch(protocols::Batch& batch, const at::Tensor& valid_tokens,
                                std::int64_t step) {
  const bool pinned = setup_.config.training.dataloader.pin_memory;
  const auto work = [&](const BatchTensors& tensors, const at::Tensor& divisor) {
    return loss_and_gradients(batch, tensors, divisor, step);
  };
  if (graphs_ == nullptr) {
    return work(to_tensors(batch, setup_.context.device, pinned), valid_tokens);
  }
  const Phase phase(setup_.context, "forward and backward", step);
  return graphs_->run(batch, valid_tokens, pinned, work);
}

at::Tensor OneModel::loss_and_gradients(protocols::Batch& batch, const BatchTensors& tensors,
                                        const at::Tensor& valid_tokens, std::int64_t step) {
  at::Tensor loss;
  {
    const Phase phase(setup_.context, "forward", step);
    loss = loss_sum(batch, tensors) / valid_tokens;
  }
  const Phase phase(setup_.context, "backward", step);
  loss.backward();
  return loss.detach();
}

at::Tensor OneModel::loss_sum(protocols::Batch& batch) {
  return loss_sum(batch, to_tensors(batch, setup_.context.device,
                                    setup_.config.validation.dataloader.pin_memory));
}

at::Tensor OneModel::loss_sum(protocols::Batch& batch, const BatchTensors& tensors) {
  const nn::SharedSequence sequence = calls_.sequence_of(batch, tensors.input, 0, batch.rows);
  const parallel::AutocastScope autocast = calls_.autocast();
  return calls_.loss_of([&] { return run(calls_.part_of(tensors.input), sequence); },
                        calls_.part_of(tensors.labels));
}

at::Tensor OneModel::logits(const at::Tensor& tokens, std::shared_ptr<nn::KeyValueCaches> caches) {
  const LanguageCalls::Texts texts = calls_.texts(tokens, caches);
  const parallel::AutocastScope autocast = calls_.autocast();
  const at::Tensor output = run(texts.tokens, texts.sequence);
  if (caches != nullptr) caches->forget_last(texts.tokens.size(1) - texts.length);
  return calls_.logits_of(output, texts);
}

at::Tensor OneModel::run(const at::Tensor& tokens, const nn::SharedSequence& sequence) {
  at::Tensor x = tokens;
  for (const protocols::ModelPart& part : setup_.parts) x = part.model->call(x, sequence);
  return x;
}

}  // namespace titan::step
