#include "titan/config/job_config.h"
#include "titan/models/deepseek_v3/attention.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/compile.h"
#include "titan/parallel/context_parallel.h"
#include "titan/parallel/data_parallel.h"
#include "titan/parallel/expert_parallel.h"
#include "titan/parallel/linear_extension.h"
#include "titan/parallel/tensor_parallel.h"
#include "titan/protocols/decoder_plan.h"

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

/// What all heads are made of is made on every rank.
TensorPlan attention_plan(nn::Module& model) {
  TensorPlan plan = {
      {"layers.*.attention", PrepareInput{{protocols::kGatherTokens}}},
      {"layers.*.attention.wkv_a", NoParallel{}},
      {"layers.*.attention.kv_norm", NoParallel{}},
      {"layers.*.attention.wkv_b", Colwise{}},
      {"layers.*.attention.wo", Rowwise{.output = protocols::kCutTokens}},
  };
  // One or the other.
  const TensorPlan queries = lines_that_fit(model, {{"layers.*.attention.wq", Colwise{}},
                                                    {"layers.*.attention.wq_a", NoParallel{}},
                                                    {"layers.*.attention.q_norm", NoParallel{}},
                                                    {"layers.*.attention.wq_b", Colwise{}}});
  plan.insert(plan.end(), queries.begin(), queries.end());
  return plan;
}

/// Latents are kept where the layer itself makes keys and values of them; a converter's products have weights of their own.
void choose_caches(nn::Module& model) {
  const auto& extension = LinearExtensionScope::current();
  if (extension == nullptr) return;
  for (const auto& [name, module] : model.named_modules()) {
    auto* attention = dynamic_cast<LatentAttention*>(module);
    if (attention != nullptr && extension->multiplies(attention->wkv_b())) {
      attention->keep_keys_and_values();
    }
  }
}

}  // namespace

std::shared_ptr<Sharding> parallelize_deepseekv3(protocols::ModelProtocol& model,
                                                 const comm::RankContext& context,
                                                 const config::JobConfig& config) {
  // From the inside out: each goes around what is there.
  const config::Parallelism& parallelism = config.parallelism;
  choose_caches(model);
  apply_compile(model, "output", context, config);
  apply_tensor_parallel(
      model,
      protocols::decoder_plan(attention_plan(model),
                              protocols::feed_forward_plan(model, kMixtures, context),
                              computes_loss_in_parts(context.dims, parallelism)),
      context,
      parallelism.enable_async_tensor_parallel ? TransferMode::kOverlap : TransferMode::kBefore);
  apply_context_parallel(model, "layers.*.attention.inner_attention", context, parallelism);
  apply_expert_parallel(model, kMixtures, context);
  apply_ac(model, kBlocks, config.activation_checkpoint, expert_save_policy(context.dims),
           planning_of(config, context));
  return apply_data_parallel(model, fsdp_units(), context, config.parallelism, config.training);
}

}  // namespace titan::models::deepseek_v3
