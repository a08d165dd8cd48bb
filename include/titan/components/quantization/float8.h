#pragma once

#include <ATen/core/Tensor.h>

#include "titan/comm/process_group.h"
#include "titan/components/quantization/granularity.h"

namespace titan::components {

// Matrices in float8 with scales in float32, as torchao's dynamic scaling makes them. 8 bits hold
// little: a scale moves the largest entry to the largest number of the type.

/// A matrix x, of which `values / scale` is left.
struct Float8Matrix {
  at::Tensor values;  // float8; or float32, what is left itself
  at::Tensor
      scale;  // float32; one number, `[rows, 1]` or `[1, columns]`; undefined: what is left is there already

  Float8Matrix t() const;
};

struct Float8Cast {
  at::ScalarType type = at::kFloat8_e4m3fn;  // or kFloat8_e5m2, which gradients need for its range
  Granularity granularity = Granularity::kTensor;
  /// Rounds the scale down to a power of two, so that scaling itself rounds nothing.
  bool power_of_two = false;
};

/// How what was rounded lies in memory: in float8, as the GPU's units want it; or, where products are emulated, in float32, as
/// the matrix does: a copy in another order would change how sums are taken.
enum class Float8Layout { kEmulated, kByRow, kByColumn };

/// The scale of a matrix, bfloat16 or float32. `ranks`: those that have other parts of what shares a
/// scale; all take the largest of their entries together. Null: there are none.
at::Tensor float8_scale(const at::Tensor& matrix, const Float8Cast& cast,
                        comm::ProcessGroup* ranks = nullptr);

/// Rounds to nearest, and to the largest number of the type where it would overflow.
Float8Matrix to_float8(const at::Tensor& matrix, const at::Tensor& scale, at::ScalarType type,
                       Float8Layout layout = Float8Layout::kByRow);

/// How matrices in float8 are multiplied.
enum class Float8Products {
  kEmulated,  // in float32: any device, no gain
  kScaled,    // by the GPU's float8 units (compute capability 8.9 or above)
};

/// a b, in `type`. `fast`: the units may sum in less than float32, as torchao lets them do for
/// outputs but not for gradients.
at::Tensor multiply(const Float8Matrix& a, const Float8Matrix& b, at::ScalarType type,
                    Float8Products products, bool fast);

}  // namespace titan::components
