#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "titan/comm/store.h"
#include "titan/tools/launch_environment.h"

namespace titan::app {

/// A machine of a job and the ranks on it.
struct Host {
  std::string name;
  std::int64_t first_rank = 0;
  std::int64_t ranks = 0;
};

/// Tells the store about this machine, once per machine, and returns all machines on rank 0, by their
/// first rank; on the others nothing. Throws RunError when one does not come within `timeout`.
std::vector<Host> meet_hosts(comm::Store& store, const tools::LaunchEnvironment& launch,
                             std::chrono::milliseconds timeout);

/// "Hosts: node01 ranks 0-7; node02 ranks 8-15".
std::string hosts_text(const std::vector<Host>& hosts);

}  // namespace titan::app
