#pragma once

#include <ATen/core/Tensor.h>

#include "titan/kernels/cross_entropy_options.h"

namespace titan::kernels {

struct RowsLoss {
  at::Tensor sum;  // of the rows' losses, 0-dim, fp32
  at::Tensor
      gradient;  // of the sum by the logits, in their type; undefined where it was not wanted
};

/// The cross-entropies of a few rows of logits `[n, V]`, computed in fp32. The logits are used up. labels `[n]`, int64.
RowsLoss loss_of_rows(const at::Tensor& logits, const at::Tensor& labels,
                      const CrossEntropyOptions& options, bool gradient);

}  // namespace titan::kernels
