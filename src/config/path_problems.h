#pragma once

#include "titan/base/file_system.h"
#include "titan/config/job_config.h"
#include "titan/config/origins.h"
#include "titan/config/problem.h"

namespace titan::config {

/// What a run of this config would read and is not there, and what stands where it would write. For
/// `--check`: a run says it itself, where it comes to it.
Problems path_problems(const JobConfig& config, const Origins& origins, base::FileSystem& files);

}  // namespace titan::config
