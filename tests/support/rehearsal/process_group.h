#pragma once

#include <cstdint>
#include <memory>

#include "titan/comm/process_group.h"

namespace titan::test::rehearsal {

/// Makes groups of ranks that are threads of this process and have a rehearsal device each, as c10d's NCCL back end
/// would: a group has a stream of its own, which begins behind the current one, and the `wait` of a
/// collective returns at once; only the current stream waits. Sums are taken in rank order, as all of titan's CPU back ends do.
/// `job` tells one world of ranks from the next.
std::unique_ptr<comm::Backend> make_rehearsal_backend(const std::string& job, std::int64_t rank,
                                                      at::Device device);

}  // namespace titan::test::rehearsal
