#pragma once

#include <string>
#include <vector>

#include "titan/config/job_config.h"
#include "titan/config/origins.h"

namespace titan::config {

/// Moves what is said in deprecated options to where it is said today. Returns the warnings.
std::vector<std::string> modernize(JobConfig& config, Origins& origins);

}  // namespace titan::config
