#pragma once

#include "titan/comm/process_group.h"

namespace titan::comm {

/// Sees what one rank does: the phase it is in and its last collectives. Any thread may read, the
/// rank's own thread writes.
class Watch : public CollectiveObserver {
 public:
  /// As "forward of step 12"; a string that outlives the watch's next phase is not needed.
  virtual void enter_phase(std::string_view phase, std::int64_t step) = 0;
};

}  // namespace titan::comm
