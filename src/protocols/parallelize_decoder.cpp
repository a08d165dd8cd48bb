#include "titan/protocols/parallelize_decoder.h"

#include "titan/config/job_config.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/compile.h"
#include "titan/parallel/context_parallel.h"
#include "titan/parallel/data_parallel.h"
#include "titan/parallel/expert_parallel.h"
#include "titan/protocols/decoder_plan.h"

namespace titan::protocols {

namespace {

using namespace parallel;

/// What activation checkpointing runs again.
constexpr const char* kBlocks = "layers.*";
constexpr const char* kMixtures = "layers.*.moe";
constexpr const char* kInnerAttention = "layers.*.attention.inner_attention";

/// What FSDP gathers together, in the reference's order; the rest goes with the root.
const UnitTable& fsdp_units() {
  static const UnitTable units = {
      {{"tok_embeddings"}},
      {{"layers.*.moe.experts"}, /*is_last=*/false, /*of_experts=*/true},
      {{"layers.*"}},
      {{"norm", "output"}, /*is_last=*/true},
  };
  return units;
}

}  // namespace

std::shared_ptr<Sharding> parallelize_decoder(ModelProtocol& model,
                                              const comm::RankContext& context,
                                              const config::JobConfig& config,
                                              const TensorPlan& attention) {
  // From the inside out: each goes around what is there.
  const config::Parallelism& parallelism = config.parallelism;
  apply_compile(model, "output", context, config);
  apply_tensor_parallel(
      model,
      decoder_plan(attention, feed_forward_plan(model, kMixtures, context),
                   computes_loss_in_parts(context.dims, parallelism)),
      context,
      parallelism.enable_async_tensor_parallel ? TransferMode::kOverlap : TransferMode::kBefore);
  apply_context_parallel(model, kInnerAttention, context, parallelism);
  apply_expert_parallel(model, kMixtures, context);
  apply_ac(model, kBlocks, config.activation_checkpoint, expert_save_policy(context.dims),
           planning_of(config, context));
  return apply_data_parallel(model, fsdp_units(), context, parallelism, config.training);
}

}  // namespace titan::protocols
