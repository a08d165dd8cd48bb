#pragma once

#include <vector>

#include "titan/nn/fast_path.h"
#include "titan/nn/module.h"

namespace titan::nn {

/// y = x Wᵀ. Input `[..., in_features]`, output `[..., out_features]`; `weight` is `[out_features,
/// in_features]`; no bias.
class Linear : public Module, public FastPath {
 public:
  Linear(std::int64_t in_features, std::int64_t out_features, at::ScalarType dtype);
  const Parameter& weight() const { return *weight_; }
  /// For who makes its product, or has its gradients by itself: it is not made together with others' (`call_together`).
  void multiply_apart() { is_apart_ = true; }

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  friend class ProductsTogether;
  friend class OnSwiglu;
  friend std::vector<at::Tensor> call_together(const std::vector<Linear*>& layers,
                                               const at::Tensor& x);
  friend at::Tensor call_on_swiglu(Linear& layer, const at::Tensor& gate, const at::Tensor& up);

  ParameterSlot& weight_;
  bool is_apart_ = false;
};

/// What each layer makes of x. On the fast path the products are made together (kernels::linears): by the first layer that is
/// reached with x itself, after what is attached to it. So what changes x, or a weight, is attached around the module that calls
/// this, or in the place of a layer's product (`multiply_apart`).
std::vector<at::Tensor> call_together(const std::vector<Linear*>& layers, const at::Tensor& x);

/// What the layer, on the fast path, makes of silu(gate) · up. Backward keeps the two and not their product
/// (kernels::linear_of_swiglu), if the layer is reached with the product itself, after what is attached to it, and makes its own.
at::Tensor call_on_swiglu(Linear& layer, const at::Tensor& gate, const at::Tensor& up);

}  // namespace titan::nn
