#include "titan/config/job_config.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/compile.h"
#include "titan/parallel/context_parallel.h"
#include "titan/parallel/data_parallel.h"
#include "titan/parallel/tensor_parallel.h"

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

/// Between blocks every rank has a part of the tokens (dimension 1); attention sees all of them with a part
/// of the heads, feed-forward with a part of the hidden features.
parallel::TensorPlan tensor_plan(bool parallel_loss) {
  using namespace parallel;
  constexpr Placement tokens = Placement::cut(1);
  constexpr Move gather_tokens = {tokens, Placement::shared()};
  const Placement logits = parallel_loss ? Placement::cut(-1) : Placement::whole();
  return {
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
}

}  // namespace

std::shared_ptr<parallel::Sharding> parallelize_llama(protocols::ModelProtocol& model,
                                                      const comm::RankContext& context,
                                                      const config::JobConfig& config) {
  // From the inside out: each goes around what is there.
  const config::Parallelism& parallelism = config.parallelism;
  parallel::apply_compile(model, "output", context, config);
  parallel::apply_tensor_parallel(
      model, tensor_plan(parallel::computes_loss_in_parts(context.dims, parallelism)), context,
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
