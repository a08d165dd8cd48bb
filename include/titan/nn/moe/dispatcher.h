#pragma once

#include "titan/nn/module.h"

namespace titan::nn {

/// Where rows set out for their experts. Called with {rows `[R, dim]`, expert by expert; rows of each expert int64 `[experts]`};
/// returns what GroupedExperts is called with, the same. Who has the experts elsewhere puts layers around both: this one begins to send,
/// that one waits for what has come, and what the mixture computes in between needs no row.
class TokenDispatcher : public Module {
 protected:
  Tensors forward(const Inputs& inputs) override { return inputs.tensors; }
};

}  // namespace titan::nn
