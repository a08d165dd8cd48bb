#pragma once

#include <string>

#include "titan/nn/module.h"

namespace titan::step {

/// The tree of a model, a line a module: its name, its type, and its own parameters with shape and type.
///
///     layers: ModuleList
///       0: TransformerBlock
///         attention: Attention
///           wq: Linear(weight [256, 256] Float)
std::string module_listing(nn::Module& model);

}  // namespace titan::step
