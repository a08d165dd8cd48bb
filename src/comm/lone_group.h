#pragma once

#include "titan/comm/process_group.h"

namespace titan::comm {

/// A rank with nobody else: collectives are the copies that are left of them, and nobody is told.
std::unique_ptr<ProcessGroup> make_lone_group(std::int64_t rank, at::Device device);

}  // namespace titan::comm
