#pragma once

#include <ATen/core/Generator.h>

#include "titan/nn/parameter.h"

namespace titan::nn {

/// Fills with N(0, 1).
void normal_(const Parameter& parameter, at::Generator generator);

/// Fills with a normal distribution of the given standard deviation around zero, cut to [low, high]
/// (absolute values, not multiples of `std`), as torch.nn.init.trunc_normal_ does: uniform, inverse
/// error function, scale, clamp. Always drawn in fp32.
void trunc_normal_(const Parameter& parameter, double std, at::Generator generator,
                   double low = -2.0, double high = 2.0);

}  // namespace titan::nn
