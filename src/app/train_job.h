#pragma once

#include "titan/config/command_line.h"
#include "titan/tools/startup_times.h"

namespace titan::profiling {
class OperatorProfile;
}

namespace titan::app {

/// Trains one rank of the job, as the command's config says; `profile`, which may be null, records the steps of the process's
/// first rank. Returns 0, or 128 + the signal that ended the run early. Throws ConfigError, RunError.
int train_job(const config::CommandLine& command, tools::StartupTimes& startup_times,
              profiling::OperatorProfile* profile);

}  // namespace titan::app
