#pragma once

#include "titan/protocols/train_spec.h"

namespace titan::models::llama4 {

/// Attaches what the config asks for to a Llama 4 model, or a stage of one, on the meta device.
std::shared_ptr<parallel::Sharding> parallelize_llama(protocols::ModelProtocol& model,
                                                      const comm::RankContext& context,
                                                      const config::JobConfig& config);

/// Llama 4 with the shared text components.
protocols::TrainSpec train_spec(const protocols::TextBuilders& builders);

}  // namespace titan::models::llama4
