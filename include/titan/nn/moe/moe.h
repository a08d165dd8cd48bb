#pragma once

#include "titan/nn/feed_forward.h"
#include "titan/nn/moe/args.h"
#include "titan/nn/moe/dispatcher.h"
#include "titan/nn/moe/grouped_experts.h"
#include "titan/nn/moe/router.h"

namespace titan::nn {

/// A mixture of experts in the place of a feed-forward layer: every token passes the shared experts and those that its router
/// chooses. Called with {x `[B, S, dim]`}; returns {`[B, S, dim]`}. Shazeer et al. 2017; DeepSeek-AI 2024.
///
/// How many tokens each expert had is what its router returns. The layer counts nothing: who does, and moves the bias by it, has a
/// place for the counts here (components/expert_balance).
class MoE : public Module, public FastPath {
 public:
  /// `hidden_dim`: of one expert.
  MoE(const MoEArgs& args, std::int64_t dim, std::int64_t hidden_dim, at::ScalarType dtype);

  /// Experts, router and shared experts, in this order; buffers become zero on `buffer_device`, or where they are.
  void init_weights(double output_std, at::Generator generator,
                    std::optional<at::Device> buffer_device);

  const MoEArgs& args() const { return args_; }
  /// fp32 `[experts]`; saved with the weights. Undefined without load balancing.
  const at::Tensor& expert_bias() const;
  /// fp32 `[experts]`, of the step that runs; not saved.
  const at::Tensor& tokens_per_expert() const { return tokens_per_expert_; }
  TokenChoiceTopKRouter& router() { return *router_; }

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  /// What goes into the experts: each token's x, once for each of its experts.
  at::Tensor rows_of(const at::Tensor& x, const at::Tensor& scores, const Tensors& ordered) const;
  /// The sum of what comes out, `[N, dim]`. Rows of other ranks' tokens count as zero.
  at::Tensor sum_by_token(const at::Tensor& expert_rows, const at::Tensor& scores,
                          const at::Tensor& order, at::ScalarType type) const;

  MoEArgs args_;
  GroupedExperts* experts_;
  TokenChoiceTopKRouter* router_;
  TokenReorderer* reorderer_;
  TokenDispatcher* dispatcher_;
  FeedForward* shared_experts_;  // null: there are none
  at::Tensor* expert_bias_;      // null without load balancing
  at::Tensor& tokens_per_expert_;
};

}  // namespace titan::nn
