#pragma once

#include "config/rules.h"

namespace titan::config {

/// Refuses what does not combine with `compile.cuda_graphs`, as far as the config tells; what the model does not allow is
/// said where it is known (titan/step/graph_rules.h).
void check_cuda_graphs(const Rules& rules);

}  // namespace titan::config
