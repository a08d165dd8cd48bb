#pragma once

#include <memory>

#include "titan/comm/process_group.h"
#include "titan/comm/store.h"
#include "titan/tools/launch_environment.h"

namespace titan::comm {

/// Ranks that are processes on CPUs, connected by TCP. Sums are taken in rank order, so that they
/// are the bits of the `local` back end. A group keeps buffers of the size of its largest reduction;
/// messages go over the interfaces in GLOO_SOCKET_IFNAME, else in a job of one machine over loopback, else over
/// the interface of the host's name. Where the job has a secret, members of a group prove to one another that they
/// know it before the group is used. `store` outlives the back end and its groups.
std::unique_ptr<Backend> make_gloo_backend(Store& store, const tools::LaunchEnvironment& launch);

}  // namespace titan::comm
