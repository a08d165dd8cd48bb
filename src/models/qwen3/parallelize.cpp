#include "titan/models/qwen3/train_spec.h"
#include "titan/parallel/tensor_parallel.h"
#include "titan/protocols/decoder_plan.h"
#include "titan/protocols/parallelize_decoder.h"

namespace titan::models::qwen3 {

namespace {

using namespace parallel;

/// Norms of heads, where there are some, are whole on every rank, for a part of the heads.
TensorPlan attention_plan(nn::Module& model) {
  constexpr std::int64_t heads = 2;  // of [B, S, heads, head_dim]
  TensorPlan plan = protocols::attention_plan();
  const TensorPlan norms =
      lines_that_fit(model, {{"layers.*.attention.q_norm", SequenceParallel{heads}},
                             {"layers.*.attention.k_norm", SequenceParallel{heads}}});
  plan.insert(plan.end(), norms.begin(), norms.end());
  return plan;
}

}  // namespace

std::shared_ptr<Sharding> parallelize_qwen3(protocols::ModelProtocol& model,
                                            const comm::RankContext& context,
                                            const config::JobConfig& config) {
  return protocols::parallelize_decoder(model, context, config, attention_plan(model));
}

}  // namespace titan::models::qwen3
