#include "titan/nn/moe/grouped_experts.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/silu.h>

#include "titan/kernels/experts.h"
#include "titan/nn/init.h"
#include "titan/nn/moe/grouped_product.h"

namespace titan::nn {

namespace {

at::Tensor matrices(std::int64_t count, std::int64_t out, std::int64_t in, at::ScalarType dtype) {
  return at::empty({count, out, in}, at::TensorOptions().dtype(dtype).device(at::kMeta));
}

}  // namespace

GroupedExperts::GroupedExperts(std::int64_t num_experts, std::int64_t dim, std::int64_t hidden_dim,
                               at::ScalarType dtype)
    : w1_(add_parameter("w1", matrices(num_experts, hidden_dim, dim, dtype))),
      w2_(add_parameter("w2", matrices(num_experts, dim, hidden_dim, dtype))),
      w3_(add_parameter("w3", matrices(num_experts, hidden_dim, dim, dtype))) {}

void GroupedExperts::init_weights(double output_std, at::Generator generator) {
  trunc_normal_(*w1_, 0.02, generator);
  trunc_normal_(*w2_, output_std, generator);
  trunc_normal_(*w3_, output_std, generator);
}

Tensors GroupedExperts::forward(const Inputs& inputs) {
  const at::Tensor& rows = inputs.at(0);
  const at::Tensor& counts = inputs.at(1);
  const kernels::ExpertWeights weights = {w1_->tensor, w2_->tensor, w3_->tensor};
  if (is_fast() && kernels::takes_experts(rows, weights)) {
    return {kernels::experts(rows, weights, counts)};
  }
  const at::Tensor hidden = at::silu(grouped_product(rows, w1_->tensor, counts)) *
                            grouped_product(rows, w3_->tensor, counts);
  return {grouped_product(hidden, w2_->tensor, counts)};
}

}  // namespace titan::nn
