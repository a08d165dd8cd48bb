#pragma once

#include "titan/base/errors.h"
#include "titan/protocols/step_runner.h"

namespace titan::test {

/// A runner of which only logits are asked.
class LogitsOnly : public protocols::StepRunner {
 public:
  at::Tensor forward_backward(std::span<protocols::Batch>, const at::Tensor&,
                              std::int64_t) override {
    throw InternalError("not asked for");
  }
  at::Tensor loss_sum(protocols::Batch&) override { throw InternalError("not asked for"); }
};

}  // namespace titan::test
