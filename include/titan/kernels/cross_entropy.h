#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace titan::kernels {

/// The part of the vocabulary whose logits are made here, where ranks share them.
struct VocabularyPart {
  std::int64_t offset = 0;
  /// Log-sum-exps `[n]` of the parts to those of the whole. All ranks call it together, in the same order.
  std::function<at::Tensor(const at::Tensor& lse)> whole_lse = nullptr;
  /// The sum over the parts of a 0-dim tensor.
  std::function<at::Tensor(const at::Tensor& sum)> whole_sum = nullptr;
};

struct CrossEntropyOptions {
  std::int64_t ignore_index = -100;  // a label that is not trained on
  VocabularyPart part = {};
  /// Rows of logits that exist at a time; 0: as many as 64 MiB hold, at least 256.
  std::int64_t rows = 0;
};

/// Sum of the cross-entropies of logits = hidden · weightᵀ, which are never whole: they are made, and become their
/// gradients, a few rows at a time, already in forward. hidden `[..., D]`, weight `[V, D]`, labels int64 `[...]`.
/// 0-dim, fp32. With gradients it keeps one tensor of the size of `hidden` and one of `weight`; it can be
/// differentiated once.
at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight,
                                const at::Tensor& labels, const CrossEntropyOptions& options = {});

}  // namespace titan::kernels
