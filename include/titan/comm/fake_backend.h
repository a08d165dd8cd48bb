#pragma once

#include <memory>

#include "titan/comm/process_group.h"

namespace titan::comm {

/// One rank of a world of any size, alone: nothing is exchanged and nothing waits. Every peer is
/// pretended to hold what this rank holds; sums and maxima are this rank's own numbers, messages
/// received are zeros. Any device, meta too.
std::unique_ptr<Backend> make_fake_backend(std::int64_t world_size, std::int64_t rank = 0);

}  // namespace titan::comm
