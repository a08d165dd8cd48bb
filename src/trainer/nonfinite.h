#pragma once

#include <string>

#include "titan/protocols/train_spec.h"

namespace titan::trainer {

/// One sentence about a step whose loss or gradient norm is NaN or infinite: which, and the first
/// parameters with such gradients.
std::string describe_nonfinite(const protocols::StepMetrics& metrics,
                               const protocols::ModelParts& model_parts);

}  // namespace titan::trainer
