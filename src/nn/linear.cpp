#include "titan/nn/linear.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>

#include "titan/kernels/layers.h"

namespace titan::nn {

Linear::Linear(std::int64_t in_features, std::int64_t out_features, at::ScalarType dtype)
    : weight_(
          add_parameter("weight", at::empty({out_features, in_features},
                                            at::TensorOptions().dtype(dtype).device(at::kMeta)))) {}

Tensors Linear::forward(const Inputs& inputs) {
  const at::Tensor& x = inputs.at(0);
  const at::Tensor& weight = weight_->tensor;
  return {is_fast() ? kernels::linear(x, weight) : at::linear(x, weight)};
}

}  // namespace titan::nn
