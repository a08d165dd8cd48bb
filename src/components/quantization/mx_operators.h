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

/// What of a matrix is that of group 0, then that of group 1, ...
enum class MXGroups {
  kRows,  // blocks are within a row: what a product sums over is no group's
  kColumns,  // blocks are within a group, whose columns are whole blocks: a product sums over those of one group
};

/// "titan::cast_to_mx_by_group": the same of a matrix in groups, which end at `ends`, int32 `[groups]`. Each group's scales are
/// swizzled by themselves and lie one group's behind the other's, as at::_scaled_grouped_mm takes them: `[rows, blocks]` of
/// whole tiles, room for the most that groups may need. What is behind the last end has no scale. The host reads no end.
std::tuple<at::Tensor, at::Tensor> cast_to_mx_by_group(const at::Tensor& matrix,
                                                       const at::Tensor& ends, MXGroups groups,
                                                       MXScaling scaling);

}  // namespace titan::components
