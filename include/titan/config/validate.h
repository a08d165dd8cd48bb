#pragma once

#include <cstdint>

#include "titan/config/job_config.h"
#include "titan/config/layout.h"
#include "titan/config/origins.h"
#include "titan/config/problem.h"

namespace titan::config {

/// Combinations of values that no build can train with, for `world_size` ranks. `model_layouts` is asked where a layout is
/// refused, so that those proposed in its place are none that the model refuses next.
Problems cross_field_problems(const JobConfig& config, const Origins& origins,
                              std::int64_t world_size, const ModelLayouts& model_layouts = {});

}  // namespace titan::config
