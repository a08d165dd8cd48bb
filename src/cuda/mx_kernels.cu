#include "cuda/mx_kernels.h"

#include <algorithm>

namespace titan::cuda {

namespace {

constexpr int kThreads = 128;

/// A thread has a block. Neighbours have what is next to it in memory: the next block of a row, or the next row.
template <class Number, class Tiles>
__global__ void cast_kernel(MXSource source, Tiles tiles, MXScaleRule rule, const Number* numbers,
                            std::uint8_t* values, std::uint8_t* scales) {
  const std::int64_t blocks = source.columns / kMXBlock;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < source.rows * blocks; i += step) {
    const bool by_row = source.column_stride == 1;
    const std::int64_t row = by_row ? i / blocks : i % source.rows;
    const std::int64_t block = by_row ? i % blocks : i / source.rows;
    cast_mx_block(source, rule, numbers, row, block, values, tiles, scales);
  }
}

template <class Number, class Tiles>
void launch(const MXSource& source, const Tiles& tiles, MXScaleRule rule, const void* numbers,
            void* values, void* scales, cudaStream_t stream) {
  const std::int64_t count = source.rows * (source.columns / kMXBlock);
  const auto grid =
      static_cast<unsigned>(std::min<std::int64_t>((count + kThreads - 1) / kThreads, 1 << 20));
  cast_kernel<<<grid, kThreads, 0, stream>>>(
      source, tiles, rule, static_cast<const Number*>(numbers), static_cast<std::uint8_t*>(values),
      static_cast<std::uint8_t*>(scales));
}

template <class Tiles>
cudaError_t cast(const MXSource& source, const Tiles& tiles, NumberType type, const void* numbers,
                 MXScaleRule rule, void* values, void* scales, cudaStream_t stream) {
  if (source.columns % kMXBlock != 0) return cudaErrorInvalidValue;
  if (source.rows * source.columns == 0) return cudaSuccess;
  type == NumberType::kFloat ? launch<float>(source, tiles, rule, numbers, values, scales, stream)
                             : launch<Bf16>(source, tiles, rule, numbers, values, scales, stream);
  return cudaGetLastError();
}

}  // namespace

cudaError_t cast_to_mx(const MXSource& source, NumberType type, const void* numbers,
                       MXScaleRule rule, void* values, void* scales, cudaStream_t stream) {
  return cast(source, MXTiles{source.columns / kMXBlock}, type, numbers, rule, values, scales,
              stream);
}

cudaError_t cast_to_mx_by_group(const MXSource& source, const MXGroupTiles& tiles, NumberType type,
                                const void* numbers, MXScaleRule rule, void* values, void* scales,
                                cudaStream_t stream) {
  return cast(source, tiles, type, numbers, rule, values, scales, stream);
}

}  // namespace titan::cuda
