#pragma once

#include <chrono>
#include <memory>

#include "titan/comm/store.h"
#include "titan/tools/launch_environment.h"

namespace titan::comm {

/// The job's store at the master's address, once all ranks have come. Where the launcher serves no
/// store, rank 0 does, as long as the object lives. Throws RunError: the port is taken; nobody answers
/// within `timeout`, or somebody who is no store; ranks disagree on the number of ranks; two processes
/// claim one rank; ranks do not come, by number. The message is the same on all ranks that can be
/// reached.
std::unique_ptr<Store> connect_store(const tools::LaunchEnvironment& launch,
                                     std::chrono::milliseconds timeout);

/// Another connection to the store that `connect_store` has opened, for a thread that must not wait
/// for the requests of others. Serves nothing, calls no roll. Throws RunError.
std::unique_ptr<Store> connect_again(const tools::LaunchEnvironment& launch,
                                     std::chrono::milliseconds timeout);

}  // namespace titan::comm
