#pragma once

#include <cstdint>

#include "titan/config/job_config.h"
#include "titan/config/origins.h"
#include "titan/config/problem.h"
#include "titan/mesh/degrees.h"

namespace titan::config {

/// Values that need a feature this build does not have.
Problems availability_problems(const JobConfig& config, const Origins& origins,
                               std::int64_t world_size);

/// The largest degrees that `availability_problems` does not refuse, each 1 or the largest number.
const mesh::Degrees& largest_degrees();

}  // namespace titan::config
