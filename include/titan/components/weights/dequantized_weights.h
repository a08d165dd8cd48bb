#pragma once

#include <memory>
#include <optional>
#include <string>

#include "titan/components/weights/weights.h"

namespace titan::components {

/// The first tensor in float8, whose numbers mean nothing without their scales; nothing: there is none.
std::optional<std::string> first_in_float8(const WeightsReader& weights);

/// Weights that are quantized in blocks, seen as fp32: a float8 matrix with a "<name>_scale_inv" beside it is multiplied, block of
/// 128 x 128 by block, with the numbers there; blocks at its end may be smaller. As DeepSeek V3 is published. The scales themselves
/// are not listed, other tensors are what they are. A box is read with the scales of its own blocks, no more. Throws RunError, which
/// names all, for float8 without scales, scales of nothing, of another type or of other sizes. `quantized` lives as long.
std::unique_ptr<WeightsReader> as_dequantized_weights(const WeightsReader& quantized);

}  // namespace titan::components
