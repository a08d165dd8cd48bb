#include "titan/nn/feed_forward.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/silu.h>

#include "titan/nn/init.h"

namespace titan::nn {

FeedForward::FeedForward(std::int64_t dim, std::int64_t hidden_dim, at::ScalarType dtype)
    : w1_(add_child("w1", std::make_unique<Linear>(dim, hidden_dim, dtype))),
      w2_(add_child("w2", std::make_unique<Linear>(hidden_dim, dim, dtype))),
      w3_(add_child("w3", std::make_unique<Linear>(dim, hidden_dim, dtype))) {}

void FeedForward::init_weights(double output_std, at::Generator generator) {
  trunc_normal_(w1_->weight(), 0.02, generator);
  for (Linear* linear : {w2_, w3_}) trunc_normal_(linear->weight(), output_std, generator);
}

Tensors FeedForward::forward(const Inputs& inputs) {
  const at::Tensor& x = inputs.at(0);
  if (!is_fast()) return {w2_->call(at::silu(w1_->call(x)) * w3_->call(x))};
  const std::vector<at::Tensor> hidden = call_together({w1_, w3_}, x);
  return {call_on_swiglu(*w2_, hidden[0], hidden[1])};
}

}  // namespace titan::nn
