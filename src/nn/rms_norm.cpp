#include "titan/nn/rms_norm.h"

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
  return {is_fast() ? kernels::rms_norm(x, weight, eps_)
                    : at::rms_norm(x, weight.sizes(), weight, eps_)};
}

}  // namespace titan::nn
