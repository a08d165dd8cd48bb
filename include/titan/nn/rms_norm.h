#pragma once

#include "titan/nn/fast_path.h"
#include "titan/nn/module.h"

namespace titan::nn {

/// y = x · rsqrt(mean(x²) + eps) · w over the last dimension, computed in fp32 for half types. Called with {x}, returns {y}; called
/// with {x, residual or undefined}, returns that of their sum, and the sum: {y, x + residual}. Zhang and Sennrich 2019.
class RMSNorm : public Module, public FastPath {
 public:
  RMSNorm(std::int64_t dim, double eps, at::ScalarType dtype);
  const Parameter& weight() const { return *weight_; }
  /// Sets the weight to one; draws no random numbers.
  void reset_parameters();

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  double eps_;
  ParameterSlot& weight_;
};

}  // namespace titan::nn
