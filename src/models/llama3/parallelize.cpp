#include "titan/config/job_config.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/compile.h"
#include "titan/parallel/context_parallel.h"
#include "titan/parallel/data_parallel.h"
#include "titan/parallel/tensor_parallel.h"
#include "titan/protocols/decoder_plan.h"

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
  const config::Parallelism& parallelism = config.parallelism;
  parallel::apply_compile(model, "output", context, config);
  parallel::apply_tensor_parallel(
      model,
      protocols::decoder_plan(protocols::attention_plan(), protocols::feed_forward_plan(),
                              parallel::computes_loss_in_parts(context.dims, parallelism)),
      context,
      parallelism.enable_async_tensor_parallel ? parallel::TransferMode::kOverlap
                                               : parallel::TransferMode::kBefore);
  parallel::apply_context_parallel(model, "layers.*.attention.inner_attention", context,
                                   parallelism);
  parallel::apply_ac(model, kBlocks, config.activation_checkpoint, parallel::default_save_policy(),
                     parallel::planning_of(config, context));
  return parallel::apply_data_parallel(model, fsdp_units(), context, config.parallelism,
                                       config.training);
}

}  // namespace titan::models::llama3
