#pragma once

#include <ATen/core/Tensor.h>

#include "titan/components/quantization/granularity.h"

namespace titan::components {

double largest_float8(at::ScalarType type);

/// "titan::largest_entries": the largest absolute values of what shares a scale, float32, of the scale's sizes.
at::Tensor largest_entries(const at::Tensor& matrix, Granularity granularity);

/// "titan::float8_scales": what moves entries (absolute values, of any sizes) to the largest number
/// of `type`, in float32.
at::Tensor float8_scales(const at::Tensor& largest, at::ScalarType type, bool power_of_two);

/// "titan::cast_to_float8": `matrix * scale`, rounded to nearest and saturated; the result lies row
/// by row, or column by column. The scale: one number, `[rows, 1]` or `[1, columns]`.
at::Tensor cast_to_float8(const at::Tensor& matrix, const at::Tensor& scale, at::ScalarType type,
                          bool by_column);

}  // namespace titan::components
