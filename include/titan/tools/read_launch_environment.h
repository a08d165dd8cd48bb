#pragma once

#include "titan/tools/environment_variable.h"
#include "titan/tools/launch_environment.h"

namespace titan::tools {

/// Reads the variables of torchrun, else of Open MPI's mpirun, else of Slurm's srun; one rank when none is
/// there. An empty variable counts as not set. Throws ConfigError that names the variable: one that
/// is missing beside others, no number, out of range; a loopback master of several machines.
LaunchEnvironment read_launch_environment(const EnvironmentLookup& lookup = environment_variable);

}  // namespace titan::tools
