#pragma once

#include <ATen/core/Tensor.h>

namespace titan::components {

/// Labels with this value are not trained on.
inline constexpr std::int64_t kIgnoreIndex = -100;

/// Sum of the cross-entropies of all valid tokens, in fp32. `prediction` are logits `[B, S, V]`,
/// `labels` int64 `[B, S]`.
at::Tensor cross_entropy_loss(const at::Tensor& prediction, const at::Tensor& labels);

}  // namespace titan::components
