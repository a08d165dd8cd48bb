#include "titan/nn/embedding.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>

namespace titan::nn {

Embedding::Embedding(std::int64_t count, std::int64_t dim, at::ScalarType dtype)
    : weight_(add_parameter(
          "weight", at::empty({count, dim}, at::TensorOptions().dtype(dtype).device(at::kMeta)))) {}

Tensors Embedding::forward(const Inputs& inputs) {
  return {at::embedding(weight_->tensor, inputs.at(0))};
}

}  // namespace titan::nn
