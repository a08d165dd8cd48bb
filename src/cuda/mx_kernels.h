#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/mx_arithmetic.h"
#include "cuda/number_type.h"

namespace titan::cuda {

/// Rounds a matrix of `type` to MXFP8 in one pass. `values` e4m3 `[rows, columns]`, row by row; `scales` of whole tiles
/// (mx_scale_place), whose padding stays as it is. Numbers and values lie at multiples of 16 bytes.
cudaError_t cast_to_mx(const MXSource& source, NumberType type, const void* numbers,
                       MXScaleRule rule, void* values, void* scales, cudaStream_t stream);
/// The same with the scales of each group by themselves (MXGroupTiles).
cudaError_t cast_to_mx_by_group(const MXSource& source, const MXGroupTiles& tiles, NumberType type,
                                const void* numbers, MXScaleRule rule, void* values, void* scales,
                                cudaStream_t stream);

}  // namespace titan::cuda
