#include "titan/step/one_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros_like.h>

#include <utility>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/nn/attention_masks.h"
#include "titan/parallel/autocast.h"
#include "titan/parallel/placement.h"
#include "titan/parallel/tensor_parallel.h"
#include "titan/protocols/train_spec.h"
#include "titan/step/batch_tensors.h"
#include "titan/step/phase.h"

namespace titan::step {

namespace {

void check_documents(const protocols::StepSetup& setup, bool attends_within_documents) {
  const bool document_mask = setup.config.data.document_mask;
  if (document_mask && !attends_within_documents) {
    throw ConfigError(
        "data.document_mask: this model.flavor attends to everything before a token; choose a "
        "flavor with flex or varlen attention");
  }
  const bool has_eos = setup.tokenizer != nullptr && setup.tokenizer->eos_id().has_value();
  if (attends_within_documents && !document_mask && !has_eos) {
    throw ConfigError(
        "model.flavor: attention within documents needs to know where they end: a tokenizer with "
        "an EOS token, or data.document_mask = true");
  }
}

}  // namespace

OneModel::OneModel(protocols::StepSetup setup)
    : setup_(std::move(setup)),
      precision_(precision_of(setup_.config.training, setup_.context.dims)),
      parameters_(protocols::parameters_of(setup_.parts)) {
  TITAN_CHECK(!setup_.parts.empty(), "a step needs a model");
  for (const protocols::ModelPart& part : setup_.parts) {
    TITAN_CHECK(part.model && part.sharding, "a model part without a model or its sharding");
  }
  if (setup_.loss) check_documents(setup_, attends_within_documents());
}

bool OneModel::attends_within_documents() const {
  return setup_.parts.front().model->attends_within_documents();
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
  at::Tensor loss;
  {
    const Phase phase(setup_.context, "forward", step);
    loss = loss_sum(batch, setup_.config.training.dataloader.pin_memory) / valid_tokens;
  }
  const Phase phase(setup_.context, "backward", step);
  loss.backward();
  return loss.detach();
}

at::Tensor OneModel::loss_sum(protocols::Batch& batch) {
  return loss_sum(batch, setup_.config.validation.dataloader.pin_memory);
}

at::Tensor OneModel::loss_sum(protocols::Batch& batch, bool pinned) {
  const BatchTensors tensors = to_tensors(batch, setup_.context.device, pinned);
  nn::SequenceInfo sequence;
  if (attends_within_documents()) mask_documents(sequence, documents_of(batch, tensors.input));
  const parallel::AutocastScope autocast(setup_.context.device.type(), precision_.autocast,
                                         at::kBFloat16);
  return setup_.loss(run(tensors.input, std::move(sequence)), tensors.labels);
}

at::Tensor OneModel::logits(const at::Tensor& tokens, std::shared_ptr<nn::KeyValueCaches> caches) {
  const mesh::ParallelDims& dims = setup_.context.dims;
  const std::int64_t length = tokens.size(1);
  // Between layers tensor parallelism cuts texts into equal parts; tokens behind a text change nothing before.
  const std::int64_t missing = (dims.degrees().tp - length % dims.degrees().tp) % dims.degrees().tp;
  const at::Tensor whole = at::constant_pad_nd(tokens, {0, missing}).to(setup_.context.device);
  nn::SequenceInfo sequence;
  // What is kept of a text is one document anyway.
  if (attends_within_documents() && caches == nullptr) {
    mask_documents(sequence, at::zeros_like(whole));
  }
  if (caches != nullptr && dims.tp_enabled()) {
    caches->add_room(dims.degrees().tp - 1);
    const std::int64_t first = caches->length();
    // The table of rotations may end with the text.
    sequence.positions =
        at::arange(first, first + length + missing, whole.options()).clamp_max(first + length - 1);
  }
  sequence.caches = caches;
  const parallel::AutocastScope autocast(setup_.context.device.type(), precision_.autocast,
                                         at::kBFloat16);
  at::Tensor logits = run(whole, std::move(sequence)).narrow(1, 0, length);
  if (caches != nullptr) caches->forget_last(missing);
  if (!parallel::computes_loss_in_parts(dims, setup_.config.parallelism)) return logits;
  return parallel::redistribute(logits,
                                {parallel::Placement::cut(-1), parallel::Placement::whole()},
                                setup_.context.group(mesh::MeshDim::kTp), vocab_size());
}

std::int64_t OneModel::vocab_size() const {
  const config::Model& model = setup_.config.model;
  return protocols::get_model_args(model.name, model.flavor)->vocab_size();
}

at::Tensor OneModel::documents_of(protocols::Batch& batch, const at::Tensor& tokens) const {
  if (!setup_.config.data.document_mask) {
    return nn::documents_by_eos(tokens, *setup_.tokenizer->eos_id());
  }
  const at::Tensor starts = at::from_blob(batch.document_starts.data(), tokens.sizes(), at::kByte)
                                .to(setup_.context.device);
  return nn::documents_by_starts(starts);
}

void OneModel::mask_documents(nn::SequenceInfo& sequence, const at::Tensor& documents) const {
  const at::ScalarType compute = precision_.autocast ? at::kBFloat16 : precision_.compute;
  sequence.mask =
      setup_.parts.front().model->document_mask(documents, compute, setup_.context.kernels());
}

at::Tensor OneModel::run(const at::Tensor& tokens, nn::SequenceInfo sequence) {
  const auto shared = std::make_shared<const nn::SequenceInfo>(std::move(sequence));
  at::Tensor x = tokens;
  for (const protocols::ModelPart& part : setup_.parts) x = part.model->call(x, shared);
  return x;
}

}  // namespace titan::step
