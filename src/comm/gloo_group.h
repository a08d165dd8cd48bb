#pragma once

#include <chrono>
#include <memory>

#include "comm/c10d_group.h"
#include "comm/wait_limits.h"

namespace titan::comm {

/// A group over ProcessGroupGloo, which only carries messages here: all ranks send to all others at
/// once, at three to five times the speed of its rings, and sums are taken in rank order. A sum that
/// waits for messages is finished by the group's own thread. How long a wait may take, `limits` says: Gloo
/// would count the time in which the job was suspended.
std::unique_ptr<ProcessGroup> make_gloo_group(C10dGroup::Members members,
                                              c10::intrusive_ptr<c10d::Backend> gloo,
                                              std::shared_ptr<WaitLimits> limits,
                                              std::chrono::milliseconds timeout);

}  // namespace titan::comm
