#include "titan/step/pipelined.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/schedule/lowering.h"
#include "titan/step/batch_tensors.h"

namespace titan::step {

Pipelined::Pipelined(protocols::StepSetup setup)
    : setup_(std::move(setup)),
      calls_(setup_),
      plan_(pipeline::plan_of(setup_.config, *setup_.parts.front().model)),
      timelines_(plan_.schedule(setup_.config), setup_.config, setup_.context),
      parameters_(protocols::parameters_of(setup_.parts)),
      tied_weights_(setup_.parts, plan_.modules, plan_.placement, setup_.context) {
  std::vector<pipeline::Stage> stages;
  for (const protocols::ModelPart& part : setup_.parts) {
    stages.push_back({part.stage.index, part.model.get(), part.sharding.get()});
  }
  runtime_ = std::make_unique<pipeline::Runtime>(
      plan_.schedule(setup_.config), std::move(stages),
      boundary(plan_.microbatch_rows, calls_.part_length(setup_.config.training.seq_len)),
      setup_.context);
  if (setup_.context.dims.ep_enabled() &&
      setup_.config.parallelism.pipeline_parallel_expert_parallel_overlap) {
    runtime_->overlap_exchanges_of(setup_.context.group(mesh::MeshDim::kEp));
  }
}

/// Of `length` tokens of every row. Tensor parallelism cuts what goes between layers along the sequence.
pipeline::Boundary Pipelined::boundary(std::int64_t rows, std::int64_t length) const {
  pipeline::Boundary result{setup_.parts.front().stage.between, calls_.precision().compute};
  result.sizes.at(0) = rows;
  result.sizes.at(1) = length / setup_.context.dims.degrees().tp;
  return result;
}

at::Tensor Pipelined::sum_of(const std::vector<at::Tensor>& losses) const {
  if (losses.empty()) {
    return at::zeros({}, at::TensorOptions().dtype(at::kFloat).device(setup_.context.device));
  }
  return at::sum(at::stack(losses));
}

/// What stages make of a batch's microbatches of `rows` rows; the last one their loss, divided by `valid_tokens` where it
/// is defined.
pipeline::StageForward Pipelined::forward_of(protocols::Batch& batch, std::int64_t rows,
                                             const at::Tensor& valid_tokens) {
  const bool pinned = valid_tokens.defined() ? setup_.config.training.dataloader.pin_memory
                                             : setup_.config.validation.dataloader.pin_memory;
  const BatchTensors tensors = to_tensors(batch, setup_.context.device, pinned);
  const std::int64_t last = plan_.placement.stages() - 1;
  return [this, &batch, tensors, rows, valid_tokens, last](
             const pipeline::Stage& stage, std::int64_t microbatch, const at::Tensor& input) {
    const std::int64_t first = microbatch * rows;
    const nn::SharedSequence sequence = calls_.sequence_of(batch, tensors.input, first, rows);
    const auto part_of = [&](const at::Tensor& whole) {
      return calls_.part_of(whole.narrow(0, first, rows));
    };
    const auto call = [&] {
      return stage.model->call(stage.index == 0 ? part_of(tensors.input) : input, sequence);
    };
    if (stage.index != last) return call();
    const at::Tensor loss = calls_.loss_of(call, part_of(tensors.labels));
    return valid_tokens.defined() ? loss / valid_tokens : loss;
  };
}

at::Tensor Pipelined::forward_backward(std::span<protocols::Batch> microbatches,
                                       const at::Tensor& valid_tokens, std::int64_t step) {
  std::vector<at::Tensor> losses;
  for (std::size_t i = 0; i < microbatches.size(); ++i) {
    if (setup_.before_microbatch) setup_.before_microbatch(static_cast<std::int64_t>(i));
    protocols::Batch& batch = microbatches[i];
    TITAN_CHECK(batch.rows == plan_.microbatches * plan_.microbatch_rows, "a batch of ", batch.rows,
                " rows for ", plan_.microbatches, " microbatches of ", plan_.microbatch_rows);
    const bool is_last = i + 1 == microbatches.size();
    const auto forward = forward_of(batch, plan_.microbatch_rows, valid_tokens);
    const bool is_measured = is_last && timelines_.is_due(step);
    if (is_measured) timelines_.start();
    for (at::Tensor& loss :
         runtime_->run(forward, /*reduces=*/is_last, step, timelines_.stopwatch())) {
      losses.push_back(std::move(loss));
    }
    if (is_measured) timelines_.finish(step);
  }
  parallel::sum_partial_gradients(parameters_, setup_.context);
  tied_weights_.sum_gradients(step);
  return sum_of(losses);
}

at::Tensor Pipelined::loss_sum(protocols::Batch& batch) {
  // At the end of the data ranks have different numbers of rows. Those that shard parameters gather them together: once, or,
  // with more stages than are gathered at a time, for every microbatch; then they take all rows as one.
  const bool gathers_once = plan_.placement.stages_per_rank <= schedule::kMostGatheredStages;
  const bool is_cut = batch.rows % plan_.microbatch_rows == 0 &&
                      (gathers_once || !setup_.context.dims.fsdp_enabled());
  const std::int64_t rows = is_cut ? plan_.microbatch_rows : batch.rows;
  return sum_of(runtime_->run_forward(forward_of(batch, rows, at::Tensor()), batch.rows / rows,
                                      boundary(rows, calls_.part_length(batch.seq_len)),
                                      "validation"));
}

at::Tensor Pipelined::logits(const at::Tensor& tokens, std::shared_ptr<nn::KeyValueCaches> caches) {
  const LanguageCalls::Texts texts = calls_.texts(tokens, caches);
  const auto forward = [&](const pipeline::Stage& stage, std::int64_t, const at::Tensor& input) {
    return stage.model->call(stage.index == 0 ? texts.tokens : input, texts.sequence);
  };
  const std::vector<at::Tensor> outputs =
      runtime_->run_forward(forward, 1, boundary(tokens.size(0), texts.tokens.size(1)), "samples");
  if (caches != nullptr) caches->forget_last(texts.tokens.size(1) - texts.length);
  // Every rank goes on with the same tokens.
  const at::Tensor logits =
      outputs.empty()
          ? at::empty(
                {tokens.size(0), texts.length, calls_.vocab_size()},
                at::TensorOptions().dtype(calls_.precision().compute).device(setup_.context.device))
          : calls_.logits_of(outputs.front(), texts).contiguous();
  setup_.context.group(mesh::MeshDim::kPp).broadcast(logits, runtime_->last_rank()).wait();
  return logits;
}

}  // namespace titan::step
