#include "titan/config/job_config.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/data_parallel.h"

namespace titan::models::llama3 {

namespace {

/// What activation checkpointing runs again.
constexpr const char* kBlocks = "layers.*";

/// What FSDP gathers together, in the reference's order; the rest goes with the root.
const parallel::UnitTable& fsdp_units() {
  static const parallel::UnitTable units = {
      {{"tok_embeddings"}},
      {{"layers.*"}},
      {{"norm", "output"}, /*is_last=*/true},
  };
  return units;
}

}  // namespace

std::shared_ptr<parallel::Sharding> parallelize_llama(protocols::ModelProtocol& model,
                                                      const comm::RankContext& context,
                                                      const config::JobConfig& config) {
  // From the inside out: each goes around what is there.
  parallel::apply_ac(model, kBlocks, config.activation_checkpoint, parallel::default_save_policy());
  return parallel::apply_data_parallel(model, fsdp_units(), context, config.parallelism,
                                       config.training);
}

}  // namespace titan::models::llama3
