#include "titan/config/job_config.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/data_parallel.h"

namespace titan::models::llama3 {

void parallelize_llama(protocols::ModelProtocol& model, const comm::RankContext& context,
                       const config::JobConfig& config) {
  parallel::apply_ac(model, config.activation_checkpoint, parallel::default_save_policy());
  model.on_gradient_sync(
      parallel::apply_data_parallel(model, context, config.parallelism, config.training));
}

}  // namespace titan::models::llama3
