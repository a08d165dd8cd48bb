#pragma once

#include "titan/protocols/train_spec.h"

namespace titan::models::deepseek_v3 {

/// Attaches what the config asks for to a DeepSeek V3 model, or a stage of one, on the meta device.
std::shared_ptr<parallel::Sharding> parallelize_deepseekv3(protocols::ModelProtocol& model,
                                                           const comm::RankContext& context,
                                                           const config::JobConfig& config);

/// DeepSeek V3 with the shared text components.
protocols::TrainSpec train_spec(const protocols::TextBuilders& builders);

}  // namespace titan::models::deepseek_v3
