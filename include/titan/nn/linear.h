#pragma once

#include "titan/nn/fast_path.h"
#include "titan/nn/module.h"

namespace titan::nn {

/// y = x Wᵀ. Input `[..., in_features]`, output `[..., out_features]`; `weight` is `[out_features,
/// in_features]`; no bias.
class Linear : public Module, public FastPath {
 public:
  Linear(std::int64_t in_features, std::int64_t out_features, at::ScalarType dtype);
  const Parameter& weight() const { return *weight_; }

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  ParameterSlot& weight_;
};

}  // namespace titan::nn
