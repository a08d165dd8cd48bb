#pragma once

#include <ATen/core/Tensor.h>

namespace titan::components {

/// Sum of the cross-entropies of all tokens whose label is not
/// protocols::kIgnoreIndex, in fp32. `prediction` are logits `[B, S, V]`,
/// `labels` int64 `[B, S]`.
at::Tensor cross_entropy_loss(const at::Tensor& prediction, const at::Tensor& labels);

}  // namespace titan::components
