#include "titan/nn/moe/moe.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "titan/kernels/routed_rows.h"

namespace titan::nn {

namespace {

at::Tensor one_per_expert(const MoEArgs& args) {
  return at::empty({args.num_experts}, at::TensorOptions().dtype(at::kFloat).device(at::kMeta));
}

void set_to_zero(at::Tensor& buffer, std::optional<at::Device> device) {
  buffer = at::zeros(buffer.sizes(), buffer.options().device(device.value_or(buffer.device())));
}

}  // namespace

MoE::MoE(const MoEArgs& args, std::int64_t dim, std::int64_t hidden_dim, at::ScalarType dtype)
    : args_(args),
      experts_(add_child(
          "experts", std::make_unique<GroupedExperts>(args.num_experts, dim, hidden_dim, dtype))),
      router_(add_child("router", std::make_unique<TokenChoiceTopKRouter>(args, dim, dtype))),
      reorderer_(add_child("reorderer", std::make_unique<TokenReorderer>(args.num_experts))),
      dispatcher_(add_child("dispatcher", std::make_unique<TokenDispatcher>())),
      shared_experts_(
          args.num_shared_experts == 0
              ? nullptr
              : add_child("shared_experts", std::make_unique<FeedForward>(
                                                dim, hidden_dim * args.num_shared_experts, dtype))),
      expert_bias_(args.load_balance_coeff
                       ? &add_buffer("expert_bias", one_per_expert(args), /*persistent=*/true)
                       : nullptr),
      tokens_per_expert_(
          add_buffer("tokens_per_expert", one_per_expert(args), /*persistent=*/false)) {}

const at::Tensor& MoE::expert_bias() const {
  static const at::Tensor none;
  return expert_bias_ == nullptr ? none : *expert_bias_;
}

void MoE::init_weights(double output_std, at::Generator generator,
                       std::optional<at::Device> buffer_device) {
  experts_->init_weights(output_std, generator);
  router_->init_weights(output_std, generator);
  if (shared_experts_ != nullptr) shared_experts_->init_weights(output_std, generator);
  if (!is_here()) return;
  if (expert_bias_ != nullptr) set_to_zero(*expert_bias_, buffer_device);
  set_to_zero(tokens_per_expert_, buffer_device);
}

at::Tensor MoE::rows_of(const at::Tensor& x, const at::Tensor& scores,
                        const Tensors& ordered) const {
  const at::Tensor& order = ordered.at(1);
  const std::int64_t top_k = scores.size(1);
  if (is_fast() && kernels::takes_routed_rows(x)) {
    return kernels::gather_rows(x, order, args_.score_before_experts ? scores : at::Tensor(),
                                top_k);
  }
  // index_select, not indexing: its gradient adds up a token's parts in one order with any number of threads.
  const at::Tensor rows = x.index_select(0, order.floor_divide(top_k));
  if (!args_.score_before_experts) return rows;
  return (rows.to(at::kFloat) * ordered.at(0).unsqueeze(1)).to(x.scalar_type());
}

at::Tensor MoE::sum_by_token(const at::Tensor& expert_rows, const at::Tensor& scores,
                             const at::Tensor& order, at::ScalarType type) const {
  const std::int64_t tokens = scores.size(0);
  const std::int64_t top_k = scores.size(1);
  if (is_fast() && kernels::takes_routed_rows(expert_rows) && type == at::kFloat) {
    return kernels::combine_rows(expert_rows, order,
                                 args_.score_before_experts ? at::Tensor() : scores, tokens, top_k);
  }
  const std::int64_t dim = expert_rows.size(1);
  const at::Tensor by_token = at::zeros({tokens * top_k, dim}, expert_rows.options())
                                  .index_copy_(0, order, expert_rows)
                                  .view({-1, top_k, dim});
  if (args_.score_before_experts) return by_token.sum(1);
  return at::bmm(scores.view({-1, 1, top_k}), by_token.to(at::kFloat)).to(type).squeeze(1);
}

Tensors MoE::forward(const Inputs& inputs) {
  const at::Tensor& x_bsd = inputs.at(0);
  const std::int64_t dim = x_bsd.size(-1);
  const at::Tensor x = x_bsd.reshape({-1, dim});
  const Tensors routed = (*router_)({{x, expert_bias()}});
  const at::Tensor& scores = routed.at(0);  // [N, K]

  const Tensors ordered = (*reorderer_)({{scores, routed.at(1)}});
  const Tensors dispatched = (*dispatcher_)({{rows_of(x, scores, ordered), ordered.at(2)}});
  // While rows may be on their way to other ranks, and in backward their gradients on the way back.
  at::Tensor shared;
  if (shared_experts_ != nullptr) shared = shared_experts_->call(x);
  const at::Tensor expert_rows = (*experts_)({dispatched}).at(0);

  const at::Tensor sum = sum_by_token(expert_rows, scores, ordered.at(1), x.scalar_type());
  return {(shared.defined() ? shared + sum : sum).view(x_bsd.sizes())};
}

}  // namespace titan::nn
