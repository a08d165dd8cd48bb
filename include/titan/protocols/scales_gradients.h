#pragma once

#include <ATen/core/Tensor.h>

namespace titan::protocols {

/// Optimizers that may multiply gradients as they read them, which saves a pass over memory.
class ScalesGradients {
 public:
  virtual ~ScalesGradients() = default;
  /// The next step is to multiply gradients by `factor` (0-dim, on their device). Returns false where it will not: then
  /// they are to be multiplied before.
  virtual bool scale_next_step(const at::Tensor& factor) = 0;
};

}  // namespace titan::protocols
