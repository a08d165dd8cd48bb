#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace titan::components {

/// Settings of one step of one parameter group.
struct AdamSettings {
  double lr = 0;
  double beta1 = 0;
  double beta2 = 0;
  double eps = 0;
  double weight_decay = 0;
  /// AdamW: weights shrink by lr x weight_decay. Adam: weight_decay x weight is added to the
  /// gradient.
  bool decoupled_weight_decay = true;
};

/// Parameters of one device and type with what Adam keeps for each: `step` (fp32, 0-dim),
/// `exp_avg`, `exp_avg_sq`.
struct AdamTensors {
  std::vector<at::Tensor> params;
  std::vector<at::Tensor> grads;
  std::vector<at::Tensor> exp_avgs;
  std::vector<at::Tensor> exp_avg_sqs;
  std::vector<at::Tensor> steps;
  /// What gradients are divided by as they are read; undefined: nothing. adam_fused only.
  at::Tensor gradient_scale = {};
};

/// One update in place. The operators are those of torch/optim/adam.py, PyTorch 2.11.
void adam_for_loop(const AdamTensors& tensors, const AdamSettings& settings);
void adam_foreach(const AdamTensors& tensors, const AdamSettings& settings);
void adam_fused(const AdamTensors& tensors, const AdamSettings& settings);

}  // namespace titan::components
