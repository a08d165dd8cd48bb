#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "titan/components/quantization/mx.h"

namespace titan::components {

/// Exponents uint8 `[rows, blocks]` in the order in which a GPU's units of compute capability 10.0 read them, one after the
/// other: tiles of 128 rows by 4 blocks, filled up with 0; in a tile row 32 q + i is at 16 i + 4 q. cuBLAS: "128x4 layout".
at::Tensor swizzled(const at::Tensor& exponents);

/// "titan::cast_to_mx": a matrix `[rows, n]` in MXFP8, blocks along n: e4m3 row by row, and the scales, e8m0, swizzled, as
/// at::_scaled_mm takes both. A GPU makes them in one pass, also of a transposed matrix (src/cuda/mx_operators.cpp).
std::tuple<at::Tensor, at::Tensor> cast_to_mx(const at::Tensor& matrix, MXScaling scaling);

}  // namespace titan::components
