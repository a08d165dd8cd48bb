#include "titan/config/job_config.h"
#include "titan/models/llama4/train_spec.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/compile.h"
#include "titan/parallel/data_parallel.h"
#include "titan/parallel/expert_parallel.h"
#include "titan/parallel/tensor_parallel.h"

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

/// Between blocks every rank has a part of the tokens (dimension 1); attention sees all of them with a part
/// of the heads, feed-forward with a part of the hidden features.
TensorPlan tensor_plan(nn::Module& model, const mesh::ParallelDims& dims, bool parallel_loss) {
  constexpr Placement tokens = Placement::cut(1);
  constexpr Move gather_tokens = {tokens, Placement::shared()};
  const Placement logits = parallel_loss ? Placement::cut(-1) : Placement::whole();
  TensorPlan plan = {
      {"tok_embeddings", Rowwise{.output = tokens}},
      {"layers.*.attention_norm", SequenceParallel{}},
      {"layers.*.attention", PrepareInput{{gather_tokens}, /*feeds=*/{"wq", "wk", "wv"}}},
      {"layers.*.attention.wq", Colwise{}},
      {"layers.*.attention.wk", Colwise{}},
      {"layers.*.attention.wv", Colwise{}},
      {"layers.*.attention.wo", Rowwise{.output = tokens}},
      {"layers.*.ffn_norm", SequenceParallel{}},
      {"layers.*.feed_forward", PrepareInput{{gather_tokens}, /*feeds=*/{"w1", "w3"}}},
      {"layers.*.feed_forward.w1", Colwise{}},
      {"layers.*.feed_forward.w3", Colwise{}},
      {"layers.*.feed_forward.w2", Rowwise{.output = tokens}},
      {"norm", SequenceParallel{}},
      {"output", Colwise{.input = tokens, .output = logits}},
  };
  const TensorPlan mixtures = mixture_plan(kMixtures, dims);
  plan.insert(plan.end(), mixtures.begin(), mixtures.end());
  return lines_that_fit(model, plan);
}

}  // namespace

std::shared_ptr<Sharding> parallelize_llama(protocols::ModelProtocol& model,
                                            const comm::RankContext& context,
                                            const config::JobConfig& config) {
  // From the inside out: each goes around what is there.
  const config::Parallelism& parallelism = config.parallelism;
  apply_compile(model, "output", context, config);
  apply_tensor_parallel(
      model, tensor_plan(model, context.dims, computes_loss_in_parts(context.dims, parallelism)),
      context,
      parallelism.enable_async_tensor_parallel ? TransferMode::kOverlap : TransferMode::kBefore);
  apply_expert_parallel(model, kMixtures, context);
  apply_ac(model, kBlocks, config.activation_checkpoint, expert_save_policy(context.dims),
           planning_of(config, context));
  return apply_data_parallel(model, fsdp_units(), context, config.parallelism, config.training);
}

}  // namespace titan::models::llama4
