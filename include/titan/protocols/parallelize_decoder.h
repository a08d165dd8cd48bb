#pragma once

#include <memory>

#include "titan/comm/rank_context.h"
#include "titan/parallel/sharding.h"
#include "titan/parallel/tensor_parallel.h"
#include "titan/protocols/model.h"

namespace titan::config {
struct JobConfig;
}

namespace titan::protocols {

/// What ranks make of a decoder (decoder.h), as the config says: fast paths, tensor, context and expert parallelism, activation
/// checkpointing and data parallelism. `attention`: the lines of its plan (decoder_plan.h) that are the model's own.
std::shared_ptr<parallel::Sharding> parallelize_decoder(ModelProtocol& model,
                                                        const comm::RankContext& context,
                                                        const config::JobConfig& config,
                                                        const parallel::TensorPlan& attention);

}  // namespace titan::protocols
