#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "titan/config/job_config.h"
#include "titan/mesh/degrees.h"

namespace titan::config {

/// For a message: up to three layouts of `world_size` ranks near that of the config, which this build has and the
/// rules on degrees and `fits` allow: "; nearest valid layouts: {...} {...}", or nothing.
std::string nearest_layouts_text(const JobConfig& config, std::int64_t world_size,
                                 const std::function<bool(const mesh::Degrees&)>& fits = {});

}  // namespace titan::config
