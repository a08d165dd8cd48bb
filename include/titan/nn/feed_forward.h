#pragma once

#include "titan/nn/linear.h"

namespace titan::nn {

/// SwiGLU: W2(silu(W1 x) ⊙ W3 x). Input and output `[..., dim]`. Shazeer 2020.
class FeedForward : public Module, public FastPath {
 public:
  FeedForward(std::int64_t dim, std::int64_t hidden_dim, at::ScalarType dtype);
  /// W1 gets `std` 0.02, then W2 and W3 `output_std`.
  void init_weights(double output_std, at::Generator generator);

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  Linear* w1_;
  Linear* w2_;
  Linear* w3_;
};

}  // namespace titan::nn
