#pragma once

#include <string_view>

#include "titan/nn/module.h"
#include "titan/parallel/memory_budget.h"
#include "titan/parallel/selective_recompute.h"

namespace titan::config {
struct ActivationCheckpoint;
}

namespace titan::parallel {

/// Checkpoints the modules that fit `blocks` (module_pattern.h), as "layers.*", as `config` says: all
/// (`full`), every n-th (`selective`, n), or each with the results of `save_policy` kept (`selective`, op) or
/// with what fits a share of the memory (`memory_budget`, planned as `planning` says). Results and gradients stay
/// bit-equal. With `debug`, what every block computes again is logged once.
///
/// Throws ConfigError for an invalid `selective_ac_option`, or a pattern of
/// `per_op_sac_force_recompute_mm_shapes_by_fqns` that matches a module that is not a linear layer.
void apply_ac(nn::Module& model, std::string_view blocks,
              const config::ActivationCheckpoint& config, const OperatorSavePolicy& save_policy,
              const Planning& planning = {});

}  // namespace titan::parallel
