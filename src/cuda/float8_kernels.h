#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/number_type.h"

namespace titan::cuda {

// What rounds matrices to float8 on a GPU, in one pass each. Without LibTorch's headers, for nvcc.

enum class Float8Type { kE4m3, kE5m2 };

/// A matrix in row-major order, and where an element's scale is: at `row * scale_row_stride +
/// column * scale_column_stride`.
struct Float8Source {
  const void* data = nullptr;
  NumberType type = NumberType::kBFloat16;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  const float* scale = nullptr;
  std::int64_t scale_row_stride = 0;
  std::int64_t scale_column_stride = 0;
};

/// `target` `[rows, columns]` gets the numbers of `type` next to source * scale, its largest where
/// they would overflow; with `transposed` it is `[columns, rows]`, and each 32 x 32 tile passes
/// shared memory.
cudaError_t cast_to_float8(const Float8Source& source, void* target, Float8Type type,
                           bool transposed, cudaStream_t stream);

/// `scales[i]` gets what moves `largest[i]` (an absolute value) to the largest number of `type`,
/// rounded down to a power of two if asked to.
cudaError_t float8_scales(const void* largest, NumberType largest_type, float* scales,
                          std::int64_t count, Float8Type type, bool power_of_two,
                          cudaStream_t stream);

}  // namespace titan::cuda
