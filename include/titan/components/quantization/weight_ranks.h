#pragma once

#include "titan/comm/process_group.h"

namespace titan::components {

/// Ranks that a weight `[out, in]` is spread over, when it is (tensor parallelism): scales are
/// those of the whole.
struct WeightRanks {
  comm::ProcessGroup* group = nullptr;
  int dim = 0;  // of the weight, that is cut
};

}  // namespace titan::components
