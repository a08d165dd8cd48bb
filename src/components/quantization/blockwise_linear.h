#pragma once

#include <ATen/core/Tensor.h>

#include "titan/components/quantization/weight_ranks.h"

namespace titan::components {

/// y = x Wᵀ with operands in float8 (e4m3) whose scales are those of blocks, as DeepSeek V3 trains: of 128 neighbours along what a
/// product sums over for x and dy, of 128 x 128 entries for W; blocks at the end are smaller. Multiplied in float32
/// (emulated). `x` is `[..., in]`. Throws ConfigError for a weight that tensor parallelism cuts within blocks.
/// Differentiable. DeepSeek-AI 2024, section 3.3.
at::Tensor blockwise_linear(const at::Tensor& x, const at::Tensor& weight,
                            const WeightRanks& ranks);

}  // namespace titan::components
