#pragma once

#include "titan/nn/linear.h"
#include "titan/nn/moe/args.h"

namespace titan::nn {

/// Each token chooses its experts. Called with {x `[N, dim]`, bias fp32 `[experts]` or undefined}; returns {scores fp32
/// `[N, top_k]`, experts int64 `[N, top_k]`, tokens of each expert int64 `[experts]`}. The bias decides with the scores which
/// experts are chosen, and is no part of the scores.
class TokenChoiceTopKRouter : public Module {
 public:
  TokenChoiceTopKRouter(const MoEArgs& args, std::int64_t dim, at::ScalarType dtype);
  void init_weights(double std, at::Generator generator);

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  at::Tensor scores_of(const at::Tensor& logits) const;
  at::Tensor chosen(const at::Tensor& choice) const;
  at::Tensor within_best_groups(const at::Tensor& choice) const;

  MoEArgs args_;
  Linear* gate_;
};

/// Puts what was routed into the experts' order. Called with {scores `[N, top_k]`, experts `[N, top_k]`}; returns {scores of all
/// N·top_k, by expert and, within an expert, by token; their places in `[N · top_k]`, int64; tokens of each expert int64
/// `[experts]`}. Whoever shares out the tokens over ranks puts a layer around it.
class TokenReorderer : public Module {
 public:
  explicit TokenReorderer(std::int64_t num_experts) : num_experts_(num_experts) {}

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  std::int64_t num_experts_;
};

}  // namespace titan::nn
