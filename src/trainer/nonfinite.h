#pragma once

#include <string>

#include "titan/protocols/train_spec.h"

namespace titan::trainer {

/// One sentence about a step whose loss or gradient norm is NaN or infinite: which, and the first parameters with such gradients.
std::string describe_nonfinite(std::int64_t step, double loss, double grad_norm,
                               const protocols::ModelParts& model_parts);

}  // namespace titan::trainer
