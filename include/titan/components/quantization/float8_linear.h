#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "titan/components/quantization/float8.h"
#include "titan/components/quantization/weight_ranks.h"
#include "titan/config/transforms.h"

namespace titan::components {

struct Float8LinearOptions {
  config::Float8Recipe recipe = config::Float8Recipe::kTensorwise;
  Float8Products products = Float8Products::kEmulated;
  WeightRanks ranks = {};
  /// The weight, where it is in float8 already (recipe tensorwise): of `weight` only sizes and type are then
  /// looked at, and gradients go there.
  std::optional<Float8Matrix> weight_values = std::nullopt;
  /// The same of x, as `[tokens, in]`.
  std::optional<Float8Matrix> x_values = std::nullopt;
};

/// y = x Wᵀ, the three products of forward and backward in float8; the recipes are torchao's,
/// and one is DeepSeek V3's, emulated only (blockwise_linear.h). `x`
/// is `[..., in]`, of bfloat16 or float32, which are the result's too; the gradient of W has the
/// type of y's. Differentiable. Source: torchao's Float8Linear, dynamic scaling.
at::Tensor float8_linear(const at::Tensor& x, const at::Tensor& weight,
                         const Float8LinearOptions& options);

}  // namespace titan::components
