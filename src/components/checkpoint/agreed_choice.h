#pragma once

#include <functional>

#include "components/checkpoint/choose_checkpoint.h"

namespace titan::comm {
class ProcessGroup;
}

namespace titan::components {

/// Rank 0 chooses, all ranks get its choice, or throw what it has thrown: folders may look different from
/// different machines. `ranks`: null in a job of one.
CheckpointChoice agreed_choice(comm::ProcessGroup* ranks,
                               const std::function<CheckpointChoice()>& choose);

}  // namespace titan::components
