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

}  // namespace titan::kernels
