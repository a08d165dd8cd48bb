#include "titan/nn/rms_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/rms_norm.h>

#include "titan/kernels/layers.h"

namespace titan::nn {

RMSNorm::RMSNorm(std::int64_t dim, double eps, at::ScalarType dtype)
    : eps_(eps),
      weight_(add_parameter(
          "weight", at::empty({dim}, at::TensorOptions().dtype(dtype).device(at::kMeta)))) {}

void RMSNorm::reset_parameters() {
  weight_->fill([](const at::Tensor& full) { full.fill_(1.0); });
}

Tensors RMSNorm::forward(const Inputs& inputs) {
  const at::Tensor& x = inputs.at(0);
  const at::Tensor& weight = weight_->tensor;
  if (inputs.tensors.size() == 1) {
    return {is_fast() ? kernels::rms_norm(x, weight, eps_)
                      : at::rms_norm(x, weight.sizes(), weight, eps_)};
  }
  const at::Tensor& residual = inputs.at(1);
  if (is_fast()) {
    const auto [normed, sum] = kernels::sum_and_rms_norm(x, residual, weight, eps_);
    return {normed, sum};
  }
  const at::Tensor sum = residual.defined() ? x + residual : x;
  return {at::rms_norm(sum, weight.sizes(), weight, eps_), sum};
}

}  // namespace titan::nn
