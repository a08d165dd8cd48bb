#pragma once

#include <string>

#include "titan/config/job_config.h"

namespace titan::app {

/// The text of `--show-lr`: the warnings of the schedule, its phases, and the learning rate of the
/// steps of a run, each with a bar. Of long runs about 20 steps, among them the ends of the phases.
std::string lr_table(const config::JobConfig& config);

}  // namespace titan::app
