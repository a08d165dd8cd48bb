#pragma once

#include <cstdint>
#include <functional>
#include <optional>
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
  /// Whether the launcher itself serves the store there, so that rank 0 must not.
  bool agent_store = false;
  /// How often the launcher has started this job anew.
  std::int64_t restart_count = 0;
  /// This machine's name, for messages.
  std::string host;
  /// "torchrun", "Slurm" or "Open MPI"; empty without a launcher.
  std::string launcher;
};

/// The value of an environment variable, or nothing.
using EnvironmentLookup = std::function<std::optional<std::string>(const char* name)>;

std::optional<std::string> environment_variable(const char* name);

/// Reads the variables of torchrun, else of Open MPI's mpirun, else of Slurm's srun; one rank when none is
/// there. An empty variable counts as not set. Throws ConfigError that names the variable: one that
/// is missing beside others, no number, out of range; a loopback master of several machines.
LaunchEnvironment read_launch_environment(const EnvironmentLookup& lookup = environment_variable);

/// The first machine of a list as Slurm writes it: "node01" of "node[01-03,7],gpu5". Throws
/// ConfigError.
std::string first_host(const std::string& host_list);

/// Whether this address only reaches the machine it is used on: "localhost", "127.0.0.1", "::1".
bool is_loopback(const std::string& address);

/// Leaves the message of a failure where torchrun looks for it (TORCHELASTIC_ERROR_FILE), so that it
/// can repeat the first one of all ranks in the end. Does nothing without that variable, or where
/// the file cannot be written; never throws.
void leave_error_file(const std::string& message,
                      const EnvironmentLookup& lookup = environment_variable) noexcept;

}  // namespace titan::tools
