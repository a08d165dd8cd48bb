#include "titan/models/llama4/train_spec.h"
#include "titan/protocols/decoder_plan.h"
#include "titan/protocols/parallelize_decoder.h"

namespace titan::models::llama4 {

std::shared_ptr<parallel::Sharding> parallelize_llama(protocols::ModelProtocol& model,
                                                      const comm::RankContext& context,
                                                      const config::JobConfig& config) {
  return protocols::parallelize_decoder(model, context, config, protocols::attention_plan());
}

}  // namespace titan::models::llama4
