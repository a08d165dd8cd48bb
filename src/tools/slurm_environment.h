#pragma once

#include <string>

#include "titan/tools/environment_variable.h"
#include "titan/tools/launch_environment.h"
#include "tools/launch_variables.h"

namespace titan::tools {

/// Whether srun started this process as one of its tasks. A batch script, and what it starts
/// without srun, has Slurm's variables too but is alone.
bool started_by_srun(const LaunchVariables& variables);

/// What srun says of this task. Throws ConfigError.
LaunchEnvironment read_slurm(const EnvironmentLookup& lookup);

/// The first machine of a list as Slurm writes it: "node01" of "node[01-03,7],gpu5". Throws
/// ConfigError.
std::string first_host(const std::string& host_list);

}  // namespace titan::tools
