#include "titan/nn/attention_masks.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>

namespace titan::nn {

at::Tensor document_ids(const at::Tensor& tokens, std::int64_t eos_id) {
  const at::Tensor is_end = tokens == eos_id;
  const at::Tensor ends_so_far = is_end.to(at::kLong).cumsum(1);
  const at::Tensor ids = at::zeros_like(ends_so_far);
  // The end token belongs to the document it ends, so the count moves one to the right.
  const std::int64_t length = tokens.size(1);
  ids.slice(1, 1, length).copy_(ends_so_far.slice(1, 0, length - 1));
  return ids;
}

Tensors block_causal_mask(const at::Tensor& tokens, std::int64_t eos_id) {
  const std::int64_t length = tokens.size(1);
  const at::Tensor ids = document_ids(tokens, eos_id);
  const at::Tensor same_document = ids.unsqueeze(2) == ids.unsqueeze(1);
  const at::Tensor causal = at::ones({length, length}, tokens.options().dtype(at::kBool)).tril();
  return {same_document.logical_and(causal).unsqueeze(1)};
}

Tensors packed_documents(const at::Tensor& tokens, std::int64_t eos_id) {
  const at::Tensor ids = document_ids(tokens, eos_id);
  // A document starts at each row's first token and wherever the id changes.
  at::Tensor is_start = at::ones(ids.sizes(), ids.options().dtype(at::kBool));
  const std::int64_t length = tokens.size(1);
  is_start.slice(1, 1, length).copy_(ids.slice(1, 1, length) != ids.slice(1, 0, length - 1));
  const at::Tensor starts = is_start.flatten().nonzero().squeeze(1);
  const at::Tensor offsets =
      at::cat({starts, at::ones({1}, starts.options()) * tokens.numel()}).to(at::kInt);
  return {offsets, offsets.diff().max().to(at::kLong).cpu()};
}

}  // namespace titan::nn
