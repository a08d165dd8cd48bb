#include "titan/tools/read_launch_environment.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "titan/base/errors.h"
#include "titan/base/printable.h"
#include "tools/launch_variables.h"
#include "tools/slurm_environment.h"

namespace titan::tools {
namespace {

constexpr std::int64_t kMostRestarts = 1'000'000'000;
constexpr std::uint16_t kOpenMpiPort = 29'511;

std::string host_name() {
  std::array<char, 256> name = {};
  std::string host = ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
  host = base::printable(host);
  std::ranges::replace(host, ' ', '_');  // for lists and messages
  return host.empty() ? "unknown" : host;
}

/// Whether this address only reaches the machine it is used on: "localhost", "127.0.0.1", "::1".
bool is_loopback(const std::string& address) {
  constexpr std::array<std::string_view, 6> kNames = {
      "localhost", "localhost.localdomain", "ip6-localhost", "::1", "0.0.0.0", "::"};
  return std::ranges::find(kNames, address) != kNames.end() || address.starts_with("127.");
}

/// torchrun gives both local variables. Ranks started by hand with the four of `env://` are on this
/// machine when they meet at a loopback address; anywhere else nothing says which GPU is whose.
void read_local_ranks(const LaunchVariables& variables, LaunchEnvironment& environment) {
  const bool any = variables.find("LOCAL_RANK") || variables.find("LOCAL_WORLD_SIZE");
  if (!any && is_loopback(environment.master_address)) {
    environment.local_rank = environment.rank;
    environment.local_world_size = environment.world_size;
    return;
  }
  if (environment.world_size == 1) return;
  variables.read_rank("LOCAL_RANK", "LOCAL_WORLD_SIZE", environment.local_rank,
                      environment.local_world_size);
  if (environment.local_world_size > environment.world_size) {
    variables.refuse("LOCAL_WORLD_SIZE",
                     concat("is ", environment.local_world_size,
                            ", more than WORLD_SIZE, which is ", environment.world_size));
  }
}

LaunchEnvironment read_torchrun(const EnvironmentLookup& lookup) {
  const LaunchVariables variables(lookup, "torchrun");
  LaunchEnvironment environment;
  environment.launcher = "torchrun";
  variables.read_rank("RANK", "WORLD_SIZE", environment.rank, environment.world_size);
  variables.read_master(environment);
  if (environment.world_size > 1) {
    variables.text("MASTER_ADDR");
    variables.text("MASTER_PORT");
  }
  read_local_ranks(variables, environment);
  environment.agent_store = variables.find("TORCHELASTIC_USE_AGENT_STORE") == "True";
  environment.restart_count = variables.number("TORCHELASTIC_RESTART_COUNT", 0, kMostRestarts, 0);
  return environment;
}

LaunchEnvironment read_open_mpi(const EnvironmentLookup& lookup) {
  const LaunchVariables variables(lookup, "Open MPI");
  LaunchEnvironment environment;
  environment.launcher = "Open MPI";
  variables.read_rank("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", environment.rank,
                      environment.world_size);
  variables.read_rank("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
                      environment.local_rank, environment.local_world_size);
  variables.read_master(environment);
  if (environment.on_one_machine()) {
    if (environment.master_address.empty()) environment.master_address = "127.0.0.1";
    if (environment.master_port == 0) environment.master_port = kOpenMpiPort;
  } else if (environment.master_address.empty() || environment.master_port == 0) {
    variables.refuse(
        environment.master_address.empty() ? "MASTER_ADDR" : "MASTER_PORT",
        "is not set, and mpirun does not say where ranks of several machines meet. Pass the first "
        "machine's name and a free port: mpirun -x MASTER_ADDR=host -x MASTER_PORT=29500 ...");
  }
  return environment;
}

void refuse_loopback_between_machines(const LaunchEnvironment& environment) {
  const bool several = environment.world_size > environment.local_world_size;
  if (!several || !is_loopback(environment.master_address)) return;
  throw ConfigError(
      concat("environment variable MASTER_ADDR: '", environment.master_address,
             "' is the machine itself, but the ", environment.world_size,
             " ranks are on several machines (", environment.local_world_size,
             " on this one): the others could not reach rank 0. Set MASTER_ADDR, or torchrun's "
             "--rdzv_endpoint, to a name or address of the first machine that all can reach."));
}

}  // namespace

LaunchEnvironment read_launch_environment(const EnvironmentLookup& lookup) {
  const LaunchVariables variables(lookup, "the launcher");
  LaunchEnvironment environment;
  if (variables.find("RANK") || variables.find("WORLD_SIZE")) {
    environment = read_torchrun(lookup);
  } else if (variables.find("OMPI_COMM_WORLD_SIZE") || variables.find("OMPI_COMM_WORLD_RANK")) {
    // Before Slurm: mpirun starts one daemon a machine through srun, whose variables its ranks
    // inherit; srun itself never sets these.
    environment = read_open_mpi(lookup);
  } else if (started_by_srun(variables)) {
    environment = read_slurm(lookup);
  }
  refuse_loopback_between_machines(environment);
  environment.host = host_name();
  environment.secret = variables.find("TITAN_JOB_SECRET").value_or("");
  return environment;
}

}  // namespace titan::tools
