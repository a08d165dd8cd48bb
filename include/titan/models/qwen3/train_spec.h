#pragma once

#include "titan/protocols/train_spec.h"

namespace titan::models::qwen3 {

/// Attaches what the config asks for to a Qwen 3 model, or a stage of one, on the meta device.
std::shared_ptr<parallel::Sharding> parallelize_qwen3(protocols::ModelProtocol& model,
                                                      const comm::RankContext& context,
                                                      const config::JobConfig& config);

/// Qwen 3 with the shared text components.
protocols::TrainSpec train_spec(const protocols::TextBuilders& builders);

}  // namespace titan::models::qwen3
