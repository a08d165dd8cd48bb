#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace titan::nn {

/// Where a tensor lies in a larger one. Its own sizes say how much of it there is.
struct TensorBox {
  std::vector<std::int64_t> full_sizes;
  std::vector<std::int64_t> offsets;
};

/// A trainable tensor: all of it, or this rank's box of it.
struct Parameter {
  at::Tensor tensor;
  std::optional<TensorBox> box;  // nothing: the whole

  /// Sizes of the whole.
  at::IntArrayRef full_sizes() const;
  /// Has `draw` fill the whole and keeps what is this rank's: values do not depend on how a parameter
  /// is sharded. Needs the memory of the whole for that time. Without gradients.
  void fill(const std::function<void(const at::Tensor& full)>& draw) const;
};

}  // namespace titan::nn
