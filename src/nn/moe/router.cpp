#include "titan/nn/moe/router.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/argsort.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "titan/base/errors.h"
#include "titan/nn/init.h"

namespace titan::nn {

namespace {

/// How often each expert is named. Whole numbers: sums in any order are the same.
at::Tensor tokens_per_expert(const at::Tensor& experts, std::int64_t num_experts) {
  const at::Tensor flat = experts.flatten();
  return at::zeros({num_experts}, flat.options()).scatter_add_(0, flat, at::ones_like(flat));
}

}  // namespace

void check_routing(const MoEArgs& args) {
  const auto fail = [](const auto&... words) { throw ConfigError(concat(words...)); };
  if (args.top_k < 1 || args.top_k > args.num_experts) {
    fail("a token cannot be routed to ", args.top_k, " of ", args.num_experts, " experts");
  }
  if (args.load_balance_coeff && !(*args.load_balance_coeff > 0)) {
    fail("load_balance_coeff must be positive, not ", *args.load_balance_coeff);
  }
  if (!args.num_expert_groups) return;
  const std::int64_t groups = *args.num_expert_groups;
  if (!args.num_limited_groups) {
    fail("num_limited_groups must be set when num_expert_groups is set");
  }
  if (groups < 1 || args.num_experts % groups != 0) {
    fail("num_experts (", args.num_experts, ") must be divisible by num_expert_groups (", groups,
         ")");
  }
  const std::int64_t experts_per_group = args.num_experts / groups;
  if (experts_per_group < 2) fail("experts_per_group (", experts_per_group, ") must be >= 2");
  const std::int64_t limited = *args.num_limited_groups;
  if (limited < 1 || limited > groups || limited * experts_per_group < args.top_k) {
    fail(limited, " groups of ", experts_per_group, " experts, of ", groups, ", have no ",
         args.top_k, " experts for a token");
  }
}

std::vector<std::string> expert_parallel_problems(const MoEArgs& args, std::int64_t degree) {
  if (args.num_experts % degree == 0) return {};
  return {concat("its ", args.num_experts, " experts do not divide among ", degree, " ranks")};
}

TokenChoiceTopKRouter::TokenChoiceTopKRouter(const MoEArgs& args, std::int64_t dim,
                                             at::ScalarType dtype)
    : args_(args),
      gate_(add_child("gate", std::make_unique<Linear>(dim, args.num_experts, dtype))) {
  check_routing(args);
}

void TokenChoiceTopKRouter::init_weights(double std, at::Generator generator) {
  trunc_normal_(gate_->weight(), std, std::move(generator));
}

/// In fp32 whatever the gate computes in.
at::Tensor TokenChoiceTopKRouter::scores_of(const at::Tensor& logits) const {
  const at::Tensor wide = logits.to(at::kFloat);
  return args_.score_func == ScoreFunction::kSigmoid ? at::sigmoid(wide) : at::softmax(wide, 1);
}

/// Experts of all but the best groups get a choice of -inf.
at::Tensor TokenChoiceTopKRouter::within_best_groups(const at::Tensor& choice) const {
  const at::Tensor by_group = choice.view({choice.size(0), *args_.num_expert_groups, -1});
  const at::Tensor best_two = std::get<0>(by_group.topk(2, -1));
  const at::Tensor group_scores = best_two.sum(-1);
  const at::Tensor kept = std::get<1>(
      group_scores.topk(*args_.num_limited_groups, -1, /*largest=*/true, /*sorted=*/false));
  const at::Tensor dropped =
      at::ones_like(group_scores, group_scores.options().dtype(at::kBool)).scatter_(1, kept, 0);
  return by_group.masked_fill(dropped.unsqueeze(-1), -std::numeric_limits<double>::infinity())
      .view(choice.sizes());
}

/// The experts of each token, `[N, top_k]`.
at::Tensor TokenChoiceTopKRouter::chosen(const at::Tensor& choice) const {
  const std::int64_t tokens = choice.size(0);
  if (args_.force_load_balance) {
    return at::arange(tokens * args_.top_k, choice.options().dtype(at::kLong))
        .remainder(args_.num_experts)
        .view({tokens, args_.top_k});
  }
  const at::Tensor among = args_.num_expert_groups ? within_best_groups(choice) : choice;
  return std::get<1>(among.topk(args_.top_k, -1, /*largest=*/true, /*sorted=*/false));
}

Tensors TokenChoiceTopKRouter::forward(const Inputs& inputs) {
  const at::Tensor scores = scores_of(gate_->call(inputs.at(0)));
  const at::Tensor& bias = inputs.at(1);
  const at::Tensor choice = bias.defined() ? scores.detach() + bias : scores.detach();
  const at::Tensor experts = chosen(choice);
  at::Tensor top_scores = scores.gather(1, experts);
  if (args_.route_norm) top_scores = top_scores / (top_scores.sum(-1, true) + 1e-20);
  top_scores = top_scores * args_.route_scale;
  return {top_scores, experts, tokens_per_expert(experts, args_.num_experts)};
}

Tensors TokenReorderer::forward(const Inputs& inputs) {
  const at::Tensor experts = inputs.at(1).flatten();
  const at::Tensor order = at::argsort(experts, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  return {inputs.at(0).flatten().index_select(0, order), order,
          tokens_per_expert(experts, num_experts_)};
}

}  // namespace titan::nn
