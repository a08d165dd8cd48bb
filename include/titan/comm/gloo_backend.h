#pragma once

#include <memory>

#include "titan/comm/process_group.h"
#include "titan/comm/store.h"

namespace titan::comm {

/// Ranks that are processes on CPUs, connected by TCP. Sums are taken in rank order, so that they
/// are the bits of the `local` back end. A group keeps buffers of the size of its largest reduction;
/// messages go over the interfaces in GLOO_SOCKET_IFNAME, else over that of the host's name, else
/// over loopback. `store` outlives the back end and its groups.
std::unique_ptr<Backend> make_gloo_backend(Store& store, std::int64_t rank,
                                           std::int64_t world_size);

}  // namespace titan::comm
