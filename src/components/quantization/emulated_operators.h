#pragma once

#include <ATen/core/Tensor.h>

#include "titan/components/quantization/mx.h"

namespace titan::components {

// What emulated products multiply: matrices as rounding leaves them. Operators, because they are one pass over memory each on a
// CPU, and because those of groups read how many rows each has.

/// "titan::through_float8": what is left of a matrix, `(matrix * scale) in type / scale`, in float32; lies in memory as the
/// matrix does. The scale: one number, `[rows, 1]` or `[1, columns]`.
at::Tensor through_float8(const at::Tensor& matrix, const at::Tensor& scale, at::ScalarType type);

/// "titan::through_float8_by_group": the same for rows `[R, columns]` that are those of group 0, then those of group 1, ...; `counts`
/// int64 `[groups]`. Every column of every group has a scale, a power of two; e4m3.
at::Tensor through_float8_by_group(const at::Tensor& rows, const at::Tensor& counts);

/// "titan::through_mx": what is left of x `[..., n]`, n a multiple of 32, whose last dimension is cut into blocks, in `type`.
at::Tensor through_mx(const at::Tensor& x, MXScaling scaling, at::ScalarType type);

/// "titan::through_mx_by_group": of rows `[R, columns]` in groups; blocks are 32 rows of a column and of one group, whose last one is
/// filled up with zeros. In `type`.
at::Tensor through_mx_by_group(const at::Tensor& rows, const at::Tensor& counts, MXScaling scaling,
                               at::ScalarType type);

}  // namespace titan::components
