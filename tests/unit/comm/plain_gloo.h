#pragma once

#include <memory>

#include "titan/comm/local_backend.h"

namespace titan::comm::test {

/// A group whose collectives, sums included, are ProcessGroupGloo's own: what the `gloo` back end is
/// measured against, and on a CPU the nearest to groups on NCCL.
std::unique_ptr<ProcessGroup> make_plain_gloo(Store& store, const std::string& name,
                                              std::int64_t rank, std::int64_t size,
                                              std::chrono::milliseconds timeout);

}  // namespace titan::comm::test
