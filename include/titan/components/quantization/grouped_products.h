#pragma once

#include <ATen/core/Tensor.h>

#include "titan/comm/process_group.h"
#include "titan/components/quantization/float8.h"
#include "titan/components/quantization/mx.h"

namespace titan::components {

// nn::grouped_product with operands in low precision: rows `[R, in]` in groups, weights `[groups, out, in]`, counts int64 `[groups]`,
// any of them 0; all of bfloat16 or float32. The result, `[R, out]`, and gradients come in bfloat16, as torchao's do. Differentiable.

/// Ranks that the experts' hidden features are spread over, when they are: scales are those of the whole.
struct ExpertRanks {
  comm::ProcessGroup* group = nullptr;
  int dim = 1;  // of the weights: 1 (out) or 2 (in)
};

/// Rows, and the weights of every output (for the gradient of rows: input) feature of every expert, have a scale each, a power of
/// two; for the gradient of weights every column of every group. in and out are multiples of 16; throws ConfigError
/// otherwise. Source: torchao's _Float8GroupedMM.
at::Tensor float8_grouped_product(const at::Tensor& rows, const at::Tensor& weights,
                                  const at::Tensor& counts, Float8Products products,
                                  const ExpertRanks& ranks = {});

/// MXFP8, scales rounded up (MXScaling::kRceil): blocks of 32 along what a product sums over, and along the rows of one group for
/// the gradient of weights. Emulated, what is left is multiplied in bfloat16. in and out are multiples of 32; throws ConfigError
/// otherwise. Source: torchao's _MXFP8GroupedMM.
at::Tensor mx_grouped_product(const at::Tensor& rows, const at::Tensor& weights,
                              const at::Tensor& counts,
                              MXProducts products = MXProducts::kEmulated);

}  // namespace titan::components
