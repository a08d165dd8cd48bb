#pragma once

#include <ATen/core/Tensor.h>

namespace titan::components {

// OCP microscaling ("MXFP8"): 32 neighbours share a power of two, of 8 bits; each is a float8
// (e4m3) beside it. As torchao's eager operators compute it.

constexpr std::int64_t kMXBlock = 32;

/// How the shared power of two follows from the largest of the 32.
enum class MXScaling {
  kFloor,  // of the largest, rounded down: the largest eighth of a binade is clipped
  kRceil,  // of largest / 448, rounded up: nothing is clipped
};

/// How rounded operands are multiplied.
enum class MXProducts {
  kEmulated,  // in their own type, anywhere
  kScaled,    // as they are, to bfloat16: a GPU of compute capability 10.0
};

struct MXTensor {
  at::Tensor values;  // float8_e4m3fn, sizes of x
  at::Tensor
      exponents;  // uint8, one for 32 values: 2^(exponent - 127); 255 is NaN. `[..., last / 32]`

  /// What is left of x, in `type`.
  at::Tensor dequantized(at::ScalarType type) const;
};

/// Of blocks whose largest absolute values are `largest` (float32): int32 of the same sizes, as MXTensor has them.
at::Tensor mx_exponents(const at::Tensor& largest, MXScaling scaling);

/// Of bfloat16 or float32; the last dimension is a multiple of 32.
MXTensor to_mx(const at::Tensor& x, MXScaling scaling);

}  // namespace titan::components
