#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include "titan/nn/linear.h"

namespace titan::test {

/// y = x Wᵀ + b, as users' own models have it.
class LinearWithBias : public nn::Linear {
 public:
  LinearWithBias(std::int64_t in_features, std::int64_t out_features, at::ScalarType dtype)
      : Linear(in_features, out_features, dtype),
        bias_(add_parameter(
            "bias",
            at::empty({out_features}, at::TensorOptions().dtype(dtype).device(at::kMeta)))) {}

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    return {Linear::forward(inputs).at(0) + bias_->tensor};
  }

 private:
  ParameterSlot& bias_;
};

}  // namespace titan::test
