#pragma once

#include "titan/nn/fast_path.h"
#include "titan/nn/module.h"

namespace titan::nn {

/// All experts of a layer: SwiGLU each, W2(silu(W1 x) ⊙ W3 x), with `w1`, `w3` `[experts, hidden, dim]` and `w2` `[experts, dim,
/// hidden]`. Called with {rows `[R, dim]`, expert by expert; rows of each expert int64 `[experts]`}; returns {`[R, dim]`}. How many
/// experts there are follows from the parameters, so that they may be sharded from outside.
class GroupedExperts : public Module, public FastPath {
 public:
  GroupedExperts(std::int64_t num_experts, std::int64_t dim, std::int64_t hidden_dim,
                 at::ScalarType dtype);
  /// W1 gets `std` 0.02, then W2 and W3 `output_std`; all experts of one are drawn together.
  void init_weights(double output_std, at::Generator generator);

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  ParameterSlot& w1_;
  ParameterSlot& w2_;
  ParameterSlot& w3_;
};

}  // namespace titan::nn
