#pragma once

#include <memory>

#include "titan/comm/process_group.h"
#include "titan/comm/store.h"
#include "titan/tools/launch_environment.h"

namespace titan::comm {

/// How ranks of one machine send tensors to one another.
enum class Carrier {
  kMemory,  ///< through memory that they share, where they can see one another's and GLOO_SOCKET_IFNAME is not set
  kSockets,
};

/// Ranks that are processes on CPUs, which meet over TCP, and send over it where they are on several machines. Sums are taken in rank
/// order, so that they are the bits of the `local` back end. A group keeps buffers of the size of its largest reduction;
/// messages go over the interfaces in GLOO_SOCKET_IFNAME, else in a job of one machine over loopback, else over
/// the interface of the host's name. Where the job has a secret, members of a group prove to one another that they
/// know it before the group is used. `store` outlives the back end and its groups.
std::unique_ptr<Backend> make_gloo_backend(Store& store, const tools::LaunchEnvironment& launch,
                                           Carrier carrier = Carrier::kMemory);

}  // namespace titan::comm
