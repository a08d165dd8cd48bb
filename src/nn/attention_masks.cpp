#include "titan/nn/attention_masks.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>

#include <tuple>

namespace titan::nn {

at::Tensor documents_by_eos(const at::Tensor& tokens, std::int64_t eos_id) {
  const at::Tensor is_end = tokens == eos_id;
  const at::Tensor ends_so_far = is_end.to(at::kLong).cumsum(1);
  const at::Tensor ids = at::zeros_like(ends_so_far);
  // The end token belongs to the document it ends, so the count moves one to the right.
  const std::int64_t length = tokens.size(1);
  ids.slice(1, 1, length).copy_(ends_so_far.slice(1, 0, length - 1));
  return ids;
}

at::Tensor documents_by_starts(const at::Tensor& starts) { return starts.to(at::kLong).cumsum(1); }

AllowedMask block_causal_mask(const at::Tensor& documents) {
  const std::int64_t length = documents.size(1);
  const at::Tensor same_document = documents.unsqueeze(2) == documents.unsqueeze(1);
  const at::Tensor causal = at::ones({length, length}, documents.options().dtype(at::kBool)).tril();
  return {same_document.logical_and(causal).unsqueeze(1)};
}

PackedDocuments packed_documents(const at::Tensor& documents) {
  // A document starts at each row's first token and wherever the id changes.
  at::Tensor is_start = at::ones(documents.sizes(), documents.options().dtype(at::kBool));
  const std::int64_t length = documents.size(1);
  is_start.slice(1, 1, length)
      .copy_(documents.slice(1, 1, length) != documents.slice(1, 0, length - 1));
  const at::Tensor starts = is_start.flatten().nonzero().squeeze(1);
  const at::Tensor offsets =
      at::cat({starts, at::ones({1}, starts.options()) * documents.numel()}).to(at::kInt);
  return {offsets, std::get<0>(offsets.diff().max(0)).item<std::int64_t>()};
}

AttentionMask document_mask(const at::Tensor& documents, at::ScalarType compute_dtype,
                            at::DeviceType kernels) {
  // Flash attention packs documents instead of masking them; it takes half types on a GPU only.
  if (kernels == at::kCUDA && compute_dtype != at::kFloat) return packed_documents(documents);
  return block_causal_mask(documents);
}

}  // namespace titan::nn
