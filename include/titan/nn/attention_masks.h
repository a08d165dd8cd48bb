#pragma once

#include "titan/nn/sequence_info.h"

namespace titan::nn {

/// Which document each token belongs to: int64 `[B, S]`, counting from 0 in every row. `tokens` is
/// int64 `[B, S]`; a token equal to `eos_id` is the last of its document.
at::Tensor documents_by_eos(const at::Tensor& tokens, std::int64_t eos_id);

/// The same from `starts`, bool or integer `[B, S]`: not 0 where a document begins. A row that goes
/// on with one begins with document 0.
at::Tensor documents_by_starts(const at::Tensor& starts);

/// A query may see a key that is not later and in the same document. `documents` as above.
AllowedMask block_causal_mask(const at::Tensor& documents);

/// The same for packed flash attention. Waits for the device, to know the longest document.
PackedDocuments packed_documents(const at::Tensor& documents);

/// The one of the two that attention in `compute_dtype` on the kernels of a kind of device has use for.
AttentionMask document_mask(const at::Tensor& documents, at::ScalarType compute_dtype,
                            at::DeviceType kernels);

}  // namespace titan::nn
