#include "trainer/forward_pass.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros_like.h>

#include <utility>

#include "titan/base/errors.h"
#include "titan/nn/attention_masks.h"
#include "titan/parallel/autocast.h"
#include "trainer/batch_tensors.h"

namespace titan::trainer {

ForwardPass::ForwardPass(protocols::ModelProtocol& model, const protocols::Tokenizer* tokenizer,
                         protocols::LossFunction loss, Options options)
    : model_(model), tokenizer_(tokenizer), loss_(std::move(loss)), options_(options) {
  if (options_.document_mask && !model_.attends_within_documents()) {
    throw ConfigError(
        "data.document_mask: this model.flavor attends to everything before a token; choose a "
        "flavor with flex or varlen attention");
  }
  const bool has_eos = tokenizer_ != nullptr && tokenizer_->eos_id().has_value();
  if (model_.attends_within_documents() && !options_.document_mask && !has_eos) {
    throw ConfigError(
        "model.flavor: attention within documents needs to know where they end: a tokenizer with "
        "an EOS token, or data.document_mask = true");
  }
}

at::Tensor ForwardPass::loss_sum(protocols::Batch& batch) {
  const BatchTensors tensors = to_tensors(batch, options_.device);
  const at::Tensor documents =
      model_.attends_within_documents() ? documents_of(batch, tensors.input) : at::Tensor();
  const parallel::AutocastScope autocast(options_.device.type(), options_.autocast, at::kBFloat16);
  return loss_(run(tensors.input, documents), tensors.labels);
}

at::Tensor ForwardPass::logits(const at::Tensor& tokens) {
  const parallel::AutocastScope autocast(options_.device.type(), options_.autocast, at::kBFloat16);
  return run(tokens, at::zeros_like(tokens));
}

at::Tensor ForwardPass::documents_of(protocols::Batch& batch, const at::Tensor& tokens) const {
  if (!options_.document_mask) return nn::documents_by_eos(tokens, *tokenizer_->eos_id());
  const at::Tensor starts =
      at::from_blob(batch.document_starts.data(), tokens.sizes(), at::kByte).to(options_.device);
  return nn::documents_by_starts(starts);
}

at::Tensor ForwardPass::run(const at::Tensor& tokens, const at::Tensor& documents) {
  nn::Tensors inputs = {tokens};
  if (model_.attends_within_documents()) {
    const at::ScalarType compute_dtype = options_.autocast ? at::kBFloat16 : options_.dtype;
    const nn::Tensors masks = model_.attention_masks(documents, compute_dtype);
    inputs.insert(inputs.end(), masks.begin(), masks.end());
  }
  return model_(std::move(inputs)).at(0);
}

}  // namespace titan::trainer
