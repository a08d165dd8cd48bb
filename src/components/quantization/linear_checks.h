#pragma once

#include <string>

#include "titan/comm/rank_context.h"
#include "titan/components/quantization/converters.h"

namespace titan::config {
struct JobConfig;
}

namespace titan::components {

// What the converters of linear layers have in common.

/// Throws ConfigError where the loss is made with the last product (compile.components), which takes its weight as it is, and
/// that layer was selected.
void check_loss(const config::JobConfig& config, const LinearSelection& selection);

/// Says once in a job what trains `how`, and what was left.
void log_selection(const comm::RankContext& context, const std::string& how,
                   const LinearSelection& selection);

}  // namespace titan::components
