#pragma once

#include "titan/tools/launch_environment.h"
#include "tools/launch_variables.h"

namespace titan::tools {

/// Whether srun started this process as one of its tasks. A batch script, and what it starts
/// without srun, has Slurm's variables too but is alone.
bool started_by_srun(const LaunchVariables& variables);

/// What srun says of this task. Throws ConfigError.
LaunchEnvironment read_slurm(const EnvironmentLookup& lookup);

}  // namespace titan::tools
