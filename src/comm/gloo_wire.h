#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <memory>

#include "comm/wait_limits.h"
#include "comm/wire.h"

namespace titan::comm {

/// Over ProcessGroupGloo's connections. How long a wait may take, `limits` says: Gloo would count the time in which the job
/// was suspended.
std::shared_ptr<Wire> make_gloo_wire(c10::intrusive_ptr<c10d::Backend> gloo,
                                     std::shared_ptr<WaitLimits> limits,
                                     std::chrono::milliseconds timeout);

}  // namespace titan::comm
