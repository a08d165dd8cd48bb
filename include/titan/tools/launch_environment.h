#pragma once

#include <cstdint>
#include <string>

namespace titan::tools {

/// What the launcher says of this process in environment variables.
struct LaunchEnvironment {
  std::int64_t rank = 0;
  std::int64_t world_size = 1;
  /// Among the ranks of this machine.
  std::int64_t local_rank = 0;
  std::int64_t local_world_size = 1;
  /// Where the ranks meet; empty and 0 in a job of one rank that was told nothing.
  std::string master_address;
  std::uint16_t master_port = 0;
  /// What the ranks of this job know and others do not (TITAN_JOB_SECRET); empty where nobody gave one.
  std::string secret;
  /// Whether the launcher itself serves the store there, so that rank 0 must not.
  bool agent_store = false;
  /// How often the launcher has started this job anew.
  std::int64_t restart_count = 0;
  /// This machine's name, for messages.
  std::string host;
  /// "torchrun", "Slurm" or "Open MPI"; empty without a launcher.
  std::string launcher;

  /// Whether all ranks of the job are on this machine.
  bool on_one_machine() const { return local_world_size == world_size; }
};

}  // namespace titan::tools
