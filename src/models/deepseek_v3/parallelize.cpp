#include "titan/config/job_config.h"
#include "titan/models/deepseek_v3/attention.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/parallel/linear_extension.h"
#include "titan/parallel/tensor_parallel.h"
#include "titan/protocols/decoder_plan.h"
#include "titan/protocols/parallelize_decoder.h"

namespace titan::models::deepseek_v3 {

namespace {

using namespace parallel;

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

/// Latents are kept where the layer itself makes keys and values of them; a converter's products are not of a weight alone.
void choose_caches(nn::Module& model, const config::JobConfig& config) {
  for (const auto& [name, module] : model.named_modules()) {
    auto* attention = dynamic_cast<LatentAttention*>(module);
    if (attention != nullptr && may_be_converted(attention->wkv_b(), config)) {
      attention->keep_keys_and_values();
    }
  }
}

}  // namespace

std::shared_ptr<Sharding> parallelize_deepseekv3(protocols::ModelProtocol& model,
                                                 const comm::RankContext& context,
                                                 const config::JobConfig& config) {
  choose_caches(model, config);
  return protocols::parallelize_decoder(model, context, config, attention_plan(model));
}

}  // namespace titan::models::deepseek_v3
