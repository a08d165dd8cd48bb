#pragma once

#include "titan/nn/module.h"

namespace titan::nn {

/// Rows of a table. Input int64 `[...]` with values in [0, count), output `[..., dim]`; `weight` is
/// `[count, dim]`.
class Embedding : public Module {
 public:
  Embedding(std::int64_t count, std::int64_t dim, at::ScalarType dtype);
  const Parameter& weight() const { return *weight_; }

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  ParameterSlot& weight_;
};

}  // namespace titan::nn
