#pragma once

#include "titan/nn/module.h"

namespace titan::nn {

/// Which document each token belongs to: int64 `[B, S]`, counting from 0 in every row. `tokens` is
/// int64 `[B, S]`; a token equal to `eos_id` is the last of its document.
at::Tensor documents_by_eos(const at::Tensor& tokens, std::int64_t eos_id);

/// The same from `starts`, bool or integer `[B, S]`: not 0 where a document begins. A row that goes
/// on with one begins with document 0.
at::Tensor documents_by_starts(const at::Tensor& starts);

/// {allowed}: bool `[B, 1, S, S]`, true where a query may see a key: not later, and in the same
/// document. `documents` as above.
Tensors block_causal_mask(const at::Tensor& documents);

/// {offsets, longest} for packed flash attention: the starts of all documents of the flattened
/// batch and its end, int32, and the length of the longest document, int64 on the CPU.
Tensors packed_documents(const at::Tensor& documents);

}  // namespace titan::nn
