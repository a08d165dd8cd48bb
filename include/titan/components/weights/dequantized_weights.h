#pragma once

#include <memory>

#include "titan/components/weights/weights.h"

namespace titan::components {

/// Weights that are quantized in blocks, seen as fp32: a matrix with a "<name>_scale_inv" beside it is multiplied, block of 128 x 128
/// by block, with the numbers there; blocks at its end may be smaller. As DeepSeek V3 is published, in float8_e4m3fn. The scales
/// themselves are not listed, other tensors are what they are. Throws RunError for scales of other sizes. `quantized` lives as long.
std::unique_ptr<WeightsReader> as_dequantized_weights(const WeightsReader& quantized);

}  // namespace titan::components
