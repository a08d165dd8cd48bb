#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "titan/config/job_config.h"
#include "titan/mesh/degrees.h"

namespace titan::config {

/// Whether a layout that keeps the rules on degrees is one to propose. Empty: each is.
using LayoutFits = std::function<bool(const mesh::Degrees&)>;
/// The layouts that the model of a config allows.
using ModelLayouts = std::function<LayoutFits(const JobConfig&)>;

/// For a message: up to three layouts of `world_size` ranks near that of the config, which this build has and the
/// rules on degrees and `fits` allow: "; nearest valid layouts: {...} {...}", or nothing.
std::string nearest_layouts_text(const JobConfig& config, std::int64_t world_size,
                                 const LayoutFits& fits = {});

}  // namespace titan::config
