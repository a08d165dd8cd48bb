#include "titan/protocols/decoder_plan.h"

namespace titan::protocols {

using namespace parallel;

TensorPlan decoder_plan(const TensorPlan& attention, const TensorPlan& feed_forward,
                        bool parallel_loss) {
  const Placement logits = parallel_loss ? Placement::cut(-1) : Placement::whole();
  TensorPlan plan = {{"tok_embeddings", Rowwise{.output = kCutTokens}},
                     {"layers.*.attention_norm", SequenceParallel{}}};
  plan.insert(plan.end(), attention.begin(), attention.end());
  plan.push_back({"layers.*.ffn_norm", SequenceParallel{}});
  plan.insert(plan.end(), feed_forward.begin(), feed_forward.end());
  plan.push_back({"norm", SequenceParallel{}});
  plan.push_back({"output", Colwise{.input = kCutTokens, .output = logits}});
  return plan;
}

TensorPlan attention_plan() {
  return {
      {"layers.*.attention", PrepareInput{{kGatherTokens}, /*feeds=*/{"wq", "wk", "wv"}}},
      {"layers.*.attention.wq", Colwise{}},
      {"layers.*.attention.wk", Colwise{}},
      {"layers.*.attention.wv", Colwise{}},
      {"layers.*.attention.wo", Rowwise{.output = kCutTokens}},
  };
}

TensorPlan feed_forward_plan(nn::Module& model, const std::string& mixtures,
                             const comm::RankContext& context) {
  TensorPlan plan = {
      {"layers.*.feed_forward", PrepareInput{{kGatherTokens}, /*feeds=*/{"w1", "w3"}}},
      {"layers.*.feed_forward.w1", Colwise{}},
      {"layers.*.feed_forward.w3", Colwise{}},
      {"layers.*.feed_forward.w2", Rowwise{.output = kCutTokens}},
  };
  const TensorPlan lines = mixture_plan(mixtures, context.dims);
  plan.insert(plan.end(), lines.begin(), lines.end());
  return lines_that_fit(model, plan);
}

}  // namespace titan::protocols
