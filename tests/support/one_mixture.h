#pragma once

#include <memory>

#include "titan/nn/moe/moe.h"

namespace titan::test {

/// A model of one mixture, "moe": 4 experts of which a token of width 8 passes 2.
class OneMixture : public nn::Module {
 public:
  OneMixture() {
    nn::MoEArgs args;
    args.num_experts = 4;
    args.top_k = 2;
    moe_ = add_child("moe", std::make_unique<nn::MoE>(args, 8, 12, at::kFloat));
  }
  nn::MoE& moe() { return *moe_; }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override { return (*moe_)(inputs); }

 private:
  nn::MoE* moe_;
};

}  // namespace titan::test
