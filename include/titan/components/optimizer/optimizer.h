#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "titan/nn/module.h"
#include "titan/protocols/optimizer.h"

namespace titan::config {
struct Optimizer;
}

namespace titan::components {

/// Adam or AdamW over all parameters that require gradients, in groups by name pattern. Each
/// implementation runs the ATen operators of PyTorch's, in the same order: `for-loop` one parameter
/// at a time, `foreach` lists of tensors, `fused` one kernel.
///
/// `clips`: the fused kernel multiplies gradients by the factor of clipping as it reads them
/// (protocols::ScalesGradients), which saves a pass over memory and costs the reference's last bits.
///
/// Kingma and Ba 2015; Loshchilov and Hutter 2019. Throws ConfigError for a pattern that matches no
/// parameter.
std::unique_ptr<protocols::Optimizers> build_optimizers(
    const std::vector<nn::NamedParameter>& parameters, const config::Optimizer& config,
    bool clips = false);

}  // namespace titan::components
