#pragma once

#include <string>

#include "titan/comm/rank_context.h"
#include "titan/nn/module.h"

namespace titan::config {
struct JobConfig;
}

namespace titan::parallel {

/// `compile.enable` with "model": the layers of a model take their fast paths; with "loss", the module `output` makes
/// the loss from its input where labels are at hand (loss_in_output.h), so that logits are never whole. Nothing is
/// compiled at run time. Apply it before anything else: it is what is innermost.
void apply_compile(nn::Module& model, const std::string& output, const comm::RankContext& context,
                   const config::JobConfig& config);

}  // namespace titan::parallel
