#include "titan/nn/moe/moe.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <utility>

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

Tensors MoE::forward(const Inputs& inputs) {
  const at::Tensor& x_bsd = inputs.at(0);
  const std::int64_t dim = x_bsd.size(-1);
  const at::Tensor x = x_bsd.reshape({-1, dim});
  const Tensors routed = (*router_)({{x, expert_bias()}});
  const at::Tensor& scores = routed.at(0);  // [N, K]
  const std::int64_t top_k = scores.size(1);

  const Tensors ordered = (*reorderer_)({{scores, routed.at(1)}});
  const at::Tensor& order = ordered.at(1);
  // index_select, not indexing: its gradient adds up a token's parts in one order with any number of threads.
  at::Tensor rows = x.index_select(0, order.floor_divide(top_k));
  if (args_.score_before_experts) {
    rows = (rows.to(at::kFloat) * ordered.at(0).unsqueeze(1)).to(x.scalar_type());
  }
  const Tensors dispatched = (*dispatcher_)({{rows, ordered.at(2)}});
  // While rows may be on their way to other ranks, and in backward their gradients on the way back.
  at::Tensor shared;
  if (shared_experts_ != nullptr) shared = shared_experts_->call(x);
  const at::Tensor expert_rows = (*experts_)({dispatched}).at(0);

  // Back in the tokens' order. Rows of other ranks' tokens stay zero.
  const at::Tensor by_token = at::zeros({x.size(0) * top_k, dim}, expert_rows.options())
                                  .index_copy_(0, order, expert_rows)
                                  .view({-1, top_k, dim});
  const at::Tensor sum = args_.score_before_experts
                             ? by_token.sum(1)
                             : at::bmm(scores.view({-1, 1, top_k}), by_token.to(at::kFloat))
                                   .to(x.scalar_type())
                                   .squeeze(1);
  return {(shared.defined() ? shared + sum : sum).view(x_bsd.sizes())};
}

}  // namespace titan::nn
