#include "titan/config/job_config.h"
#include "titan/models/llama4/train_spec.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/compile.h"
#include "titan/parallel/context_parallel.h"
#include "titan/parallel/data_parallel.h"
#include "titan/parallel/expert_parallel.h"
#include "titan/parallel/tensor_parallel.h"
#include "titan/protocols/decoder_plan.h"

namespace titan::models::llama4 {

namespace {

using namespace parallel;

/// What activation checkpointing runs again.
constexpr const char* kBlocks = "layers.*";
constexpr const char* kMixtures = "layers.*.moe";

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

TensorPlan tensor_plan(nn::Module& model, const comm::RankContext& context, bool parallel_loss) {
  return protocols::decoder_plan(protocols::attention_plan(),
                                 protocols::feed_forward_plan(model, kMixtures, context),
                                 parallel_loss);
}

}  // namespace

std::shared_ptr<Sharding> parallelize_llama(protocols::ModelProtocol& model,
                                            const comm::RankContext& context,
                                            const config::JobConfig& config) {
  // From the inside out: each goes around what is there.
  const config::Parallelism& parallelism = config.parallelism;
  apply_compile(model, "output", context, config);
  apply_tensor_parallel(
      model, tensor_plan(model, context, computes_loss_in_parts(context.dims, parallelism)),
      context,
      parallelism.enable_async_tensor_parallel ? TransferMode::kOverlap : TransferMode::kBefore);
  apply_context_parallel(model, "layers.*.attention.inner_attention", context, parallelism);
  apply_expert_parallel(model, kMixtures, context);
  apply_ac(model, kBlocks, config.activation_checkpoint, expert_save_policy(context.dims),
           planning_of(config, context));
  return apply_data_parallel(model, fsdp_units(), context, config.parallelism, config.training);
}

}  // namespace titan::models::llama4
