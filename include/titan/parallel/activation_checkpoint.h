#pragma once

#include <string_view>

#include "titan/nn/module.h"
#include "titan/parallel/selective_recompute.h"

namespace titan::config {
struct ActivationCheckpoint;
}

namespace titan::parallel {

/// Checkpoints the modules that fit `blocks` (module_pattern.h), as "layers.*", as `config` says: all
/// (`full`), every n-th (`selective`, n), or each with the results of `save_policy` kept (`selective`, op).
/// Results and gradients stay bit-equal.
///
/// Throws ConfigError for an invalid `selective_ac_option`, or a pattern of
/// `per_op_sac_force_recompute_mm_shapes_by_fqns` that matches a module that is not a linear layer.
void apply_ac(nn::Module& model, std::string_view blocks,
              const config::ActivationCheckpoint& config, const OperatorSavePolicy& save_policy);

}  // namespace titan::parallel
