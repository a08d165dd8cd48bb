#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <algorithm>

#include "cuda/float8_kernels.h"

namespace titan::cuda {

namespace {

constexpr int kTile = 32;
constexpr int kWideTile = 64;
constexpr int kTileRows = 8;  // of threads; each takes four elements of a column
constexpr int kThreads = 256;
constexpr int kPerThread = 8;  // 16 bytes of bfloat16
constexpr double kSmallest = 1e-12;

__device__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ float to_float(float x) { return x; }

template <Float8Type type>
__device__ std::uint8_t rounded(float x) {
  return __nv_cvt_float_to_fp8(x, __NV_SATFINITE,
                               type == Float8Type::kE4m3 ? __NV_E4M3 : __NV_E5M2);
}

template <class Source>
struct alignas(sizeof(Source) * kPerThread) Pack {
  Source values[kPerThread];
};
struct alignas(kPerThread) RoundedPack {
  std::uint8_t values[kPerThread];
};

/// Of rows that are whole packs long.
template <class Source, Float8Type type>
__global__ void cast_rows(const Source* source, const float* scale, std::int64_t scale_row_stride,
                          std::int64_t scale_column_stride, std::uint8_t* target,
                          std::int64_t columns, std::int64_t packs) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < packs;
       i += step) {
    const std::int64_t first = i * kPerThread;
    const std::int64_t row = first / columns;
    const std::int64_t column = first - row * columns;
    const Pack<Source> in = reinterpret_cast<const Pack<Source>*>(source)[i];
    const float* scales = scale + row * scale_row_stride + column * scale_column_stride;
    RoundedPack out;
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
      out.values[k] = rounded<type>(to_float(in.values[k]) * scales[k * scale_column_stride]);
    }
    reinterpret_cast<RoundedPack*>(target)[i] = out;
  }
}

template <class Source, Float8Type type>
__global__ void cast_transposed(const Source* source, const float* scale,
                                std::int64_t scale_row_stride, std::int64_t scale_column_stride,
                                std::uint8_t* target, std::int64_t rows, std::int64_t columns) {
  __shared__ std::uint8_t tile[kTile][kTile + 4];
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kTile + threadIdx.x;
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * kTile;
  for (int r = threadIdx.y; r < kTile; r += kTileRows) {
    const std::int64_t row = first_row + r;
    if (row < rows && column < columns) {
      tile[r][threadIdx.x] =
          rounded<type>(to_float(source[row * columns + column]) *
                        scale[row * scale_row_stride + column * scale_column_stride]);
    }
  }
  __syncthreads();
  // Rows of the target are columns of the tile; a thread writes four neighbours.
  const int place = threadIdx.y * kTile + threadIdx.x;
  const int out_row = place / (kTile / 4);
  const int out_column = place % (kTile / 4) * 4;
  const std::int64_t target_row = static_cast<std::int64_t>(blockIdx.x) * kTile + out_row;
  const std::int64_t target_column = first_row + out_column;
  if (target_row >= columns) return;
  std::uint8_t* out = target + target_row * rows + target_column;
  if (target_column + 4 <= rows && rows % 4 == 0) {
    *reinterpret_cast<uchar4*>(out) =
        make_uchar4(tile[out_column][out_row], tile[out_column + 1][out_row],
                    tile[out_column + 2][out_row], tile[out_column + 3][out_row]);
  } else {
    for (int k = 0; k < 4 && target_column + k < rows; ++k) out[k] = tile[out_column + k][out_row];
  }
}

/// Of a matrix whose sides are whole packs long: 16 bytes of bfloat16 are read, 8 are written at once.
template <class Source, Float8Type type>
__global__ void cast_transposed_packs(const Source* source, const float* scale,
                                      std::int64_t scale_row_stride,
                                      std::int64_t scale_column_stride, std::uint8_t* target,
                                      std::int64_t rows, std::int64_t columns) {
  __shared__ std::uint32_t tile[kWideTile]
                               [kWideTile / 4 + 1];  // four neighbours of a row in a word
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.y) * kWideTile;
  const std::int64_t first_column = static_cast<std::int64_t>(blockIdx.x) * kWideTile;
  constexpr int kPacks = kWideTile / kPerThread;  // of a row
  for (int place = threadIdx.x; place < kWideTile * kPacks; place += kThreads) {
    const int r = place / kPacks;
    const int c = place % kPacks * kPerThread;
    const std::int64_t row = first_row + r;
    const std::int64_t column = first_column + c;
    if (row >= rows || column >= columns) continue;
    const auto in = *reinterpret_cast<const Pack<Source>*>(source + row * columns + column);
    const float* scales = scale + row * scale_row_stride + column * scale_column_stride;
    std::uint32_t words[2] = {0, 0};
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
      const std::uint32_t byte =
          rounded<type>(to_float(in.values[k]) * scales[k * scale_column_stride]);
      words[k / 4] |= byte << (k % 4 * 8);
    }
    tile[r][c / 4] = words[0];
    tile[r][c / 4 + 1] = words[1];
  }
  __syncthreads();
  for (int place = threadIdx.x; place < kWideTile * kPacks; place += kThreads) {
    const int c = place / kPacks;  // a column of the tile, a row of the target
    const int r = place % kPacks * kPerThread;
    const std::int64_t target_row = first_column + c;
    const std::int64_t target_column = first_row + r;
    if (target_row >= columns || target_column >= rows) continue;
    RoundedPack out;
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
      out.values[k] = static_cast<std::uint8_t>(tile[r + k][c / 4] >> (c % 4 * 8));
    }
    *reinterpret_cast<RoundedPack*>(target + target_row * rows + target_column) = out;
  }
}

template <class Source>
__global__ void make_scales(const Source* largest, float* scales, std::int64_t count,
                            double largest_number, bool power_of_two) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const double entry = to_float(largest[i]);
  // Comparisons are false for NaN, which stays.
  auto scale = static_cast<float>(largest_number / (entry < kSmallest ? kSmallest : entry));
  if (power_of_two) scale = exp2f(floorf(log2f(scale)));
  scales[i] = scale;
}

template <class Source, Float8Type type>
void launch_cast(const Float8Source& source, void* target, bool transposed, cudaStream_t stream) {
  const auto* data = static_cast<const Source*>(source.data);
  auto* out = static_cast<std::uint8_t*>(target);
  if (transposed && source.columns % kPerThread == 0 && source.rows % kPerThread == 0) {
    const dim3 blocks(static_cast<unsigned>((source.columns + kWideTile - 1) / kWideTile),
                      static_cast<unsigned>((source.rows + kWideTile - 1) / kWideTile));
    cast_transposed_packs<Source, type><<<blocks, kThreads, 0, stream>>>(
        data, source.scale, source.scale_row_stride, source.scale_column_stride, out, source.rows,
        source.columns);
    return;
  }
  if (transposed) {
    const dim3 blocks(static_cast<unsigned>((source.columns + kTile - 1) / kTile),
                      static_cast<unsigned>((source.rows + kTile - 1) / kTile));
    cast_transposed<Source, type><<<blocks, dim3(kTile, kTileRows), 0, stream>>>(
        data, source.scale, source.scale_row_stride, source.scale_column_stride, out, source.rows,
        source.columns);
    return;
  }
  const std::int64_t packs = source.rows * source.columns / kPerThread;
  const auto blocks =
      static_cast<unsigned>(std::min<std::int64_t>((packs + kThreads - 1) / kThreads, 1 << 20));
  cast_rows<Source, type>
      <<<blocks, kThreads, 0, stream>>>(data, source.scale, source.scale_row_stride,
                                        source.scale_column_stride, out, source.columns, packs);
}

template <class Source>
void launch_cast(const Float8Source& source, void* target, Float8Type type, bool transposed,
                 cudaStream_t stream) {
  if (type == Float8Type::kE4m3) {
    launch_cast<Source, Float8Type::kE4m3>(source, target, transposed, stream);
  } else {
    launch_cast<Source, Float8Type::kE5m2>(source, target, transposed, stream);
  }
}

}  // namespace

cudaError_t cast_to_float8(const Float8Source& source, void* target, Float8Type type,
                           bool transposed, cudaStream_t stream) {
  if (source.rows == 0 || source.columns == 0) return cudaSuccess;
  if (!transposed && source.columns % kPerThread != 0) return cudaErrorInvalidValue;
  if (source.type == NumberType::kFloat) {
    launch_cast<float>(source, target, type, transposed, stream);
  } else {
    launch_cast<__nv_bfloat16>(source, target, type, transposed, stream);
  }
  return cudaGetLastError();
}

cudaError_t float8_scales(const void* largest, NumberType largest_type, float* scales,
                          std::int64_t count, Float8Type type, bool power_of_two,
                          cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  const double largest_number = type == Float8Type::kE4m3 ? 448.0 : 57344.0;
  const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  if (largest_type == NumberType::kFloat) {
    make_scales<<<blocks, kThreads, 0, stream>>>(static_cast<const float*>(largest), scales, count,
                                                 largest_number, power_of_two);
  } else {
    make_scales<<<blocks, kThreads, 0, stream>>>(static_cast<const __nv_bfloat16*>(largest), scales,
                                                 count, largest_number, power_of_two);
  }
  return cudaGetLastError();
}

}  // namespace titan::cuda
