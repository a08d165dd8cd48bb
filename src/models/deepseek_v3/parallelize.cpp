#include "titan/config/job_config.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/compile.h"
#include "titan/parallel/data_parallel.h"
#include "titan/parallel/expert_parallel.h"
#include "titan/parallel/module_pattern.h"
#include "titan/parallel/tensor_parallel.h"

namespace titan::models::deepseek_v3 {

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

/// Lines whose modules a flavor need not have: those of latent queries, of dense layers, of mixtures.
void add_where_there(TensorPlan& plan, nn::Module& model, const TensorPlan& lines) {
  for (const TensorPlanLine& line : lines) {
    if (!modules_matching(model, line.modules).empty()) plan.push_back(line);
  }
}

/// Between blocks every rank has a part of the tokens (dimension 1); attention sees all of them with a part of the heads,
/// feed-forward with a part of the hidden features. What all heads are made of is made on every rank.
TensorPlan tensor_plan(nn::Module& model, const mesh::ParallelDims& dims, bool parallel_loss) {
  constexpr Placement tokens = Placement::cut(1);
  constexpr Move gather_tokens = {tokens, Placement::shared()};
  const Placement logits = parallel_loss ? Placement::cut(-1) : Placement::whole();
  TensorPlan plan = {
      {"tok_embeddings", Rowwise{.output = tokens}},
      {"layers.*.attention_norm", SequenceParallel{}},
      {"layers.*.attention", PrepareInput{{gather_tokens}}},
      {"layers.*.attention.wkv_a", NoParallel{}},
      {"layers.*.attention.kv_norm", NoParallel{}},
      {"layers.*.attention.wkv_b", Colwise{}},
      {"layers.*.attention.wo", Rowwise{.output = tokens}},
      {"layers.*.ffn_norm", SequenceParallel{}},
      {"norm", SequenceParallel{}},
      {"output", Colwise{.input = tokens, .output = logits}},
  };
  add_where_there(plan, model,
                  {{"layers.*.attention.wq", Colwise{}},
                   {"layers.*.attention.wq_a", NoParallel{}},
                   {"layers.*.attention.q_norm", NoParallel{}},
                   {"layers.*.attention.wq_b", Colwise{}},
                   {"layers.*.feed_forward", PrepareInput{{gather_tokens}, /*feeds=*/{"w1", "w3"}}},
                   {"layers.*.feed_forward.w1", Colwise{}},
                   {"layers.*.feed_forward.w3", Colwise{}},
                   {"layers.*.feed_forward.w2", Rowwise{.output = tokens}}});
  add_where_there(plan, model, mixture_plan(kMixtures, dims));
  return plan;
}

}  // namespace

std::shared_ptr<Sharding> parallelize_deepseekv3(protocols::ModelProtocol& model,
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

}  // namespace titan::models::deepseek_v3
