#include "titan/nn/rms_norm.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/rms_norm.h>

namespace titan::nn {

RMSNorm::RMSNorm(std::int64_t dim, double eps, at::ScalarType dtype)
    : eps_(eps),
      weight_(add_parameter(
          "weight", at::empty({dim}, at::TensorOptions().dtype(dtype).device(at::kMeta)))) {}

void RMSNorm::reset_parameters() {
  weight_->fill([](const at::Tensor& full) { full.fill_(1.0); });
}

Tensors RMSNorm::forward(const Inputs& inputs) {
  return {at::rms_norm(inputs.at(0), weight_->tensor.sizes(), weight_->tensor, eps_)};
}

}  // namespace titan::nn
