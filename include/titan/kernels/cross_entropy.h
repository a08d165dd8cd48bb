#pragma once

#include <ATen/core/Tensor.h>

#include "titan/kernels/cross_entropy_options.h"

namespace titan::kernels {

/// Sum of the cross-entropies of logits = hidden · weightᵀ, which are never whole: they are made, and become their
/// gradients, a few rows at a time, already in forward. hidden `[..., D]`, weight `[V, D]`, labels int64 `[...]`.
/// 0-dim, fp32. With gradients it keeps one tensor of the size of `hidden` and one of `weight`; it can be
/// differentiated once.
at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight,
                                const at::Tensor& labels, const CrossEntropyOptions& options = {});

}  // namespace titan::kernels
