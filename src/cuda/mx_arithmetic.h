#pragma once

#include "cuda/portable.h"

#ifdef __CUDACC__
#include <cuda_fp8.h>
#endif

namespace titan::cuda {

constexpr int kMXBlock = 32;

/// As components::MXScaling counts them.
enum class MXScaleRule { kFloor, kRceil };

TITAN_PORTABLE inline float with_bits(std::uint32_t bits) {
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}
TITAN_PORTABLE inline std::uint32_t bits_of(float x) {
  std::uint32_t result;
  std::memcpy(&result, &x, sizeof(result));
  return result;
}

/// Of a number that is at most 448: the e4m3 next to it, of two the even one.
TITAN_PORTABLE inline std::uint8_t to_e4m3(float x) {
#ifdef __CUDA_ARCH__
  return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
#else
  const std::uint32_t sign = bits_of(x) & 0x80000000U;
  const std::uint32_t size = bits_of(x) ^ sign;
  std::uint32_t result;
  if (!(x == x)) {
    result = 0x7F;
  } else if (size < (121U << 23)) {  // subnormal: the sum's last bits are those of the result
    const std::uint32_t units = 141U << 23;
    result = bits_of(with_bits(size) + with_bits(units)) - units;
  } else {
    const std::uint32_t odd = (size >> 20) & 1;
    result = (size - (120U << 23) + 0x7FFFF + odd) >> 20;
  }
  return static_cast<std::uint8_t>(result | (sign >> 24));
#endif
}

/// 2^n, of n from -149 to 127.
TITAN_PORTABLE inline float power_of_two(int n) {
  return with_bits(n >= -126 ? static_cast<std::uint32_t>(n + 127) << 23 : 1U << (n + 149));
}

/// What 32 numbers share, whose largest is this: 2^(exponent - 127); 255 is no number (components/quantization/mx.cpp).
TITAN_PORTABLE inline int mx_exponent(float largest, MXScaleRule rule) {
  if (!(largest == largest)) return 255;
  if (rule == MXScaleRule::kFloor) {
    const int exponent = static_cast<int>(bits_of(largest) >> 23) - 127 - 8;
    return (exponent < -127 ? -127 : exponent) + 127;
  }
  const float exponent = ceilf(log2f(largest / 448.0F));
  return static_cast<int>(exponent < -127.0F  ? -127.0F
                          : exponent > 127.0F ? 127.0F
                                              : exponent) +
         127;
}

/// What the 32 are multiplied by before they are rounded.
TITAN_PORTABLE inline float mx_inverse(int exponent, MXScaleRule rule) {
  if (rule == MXScaleRule::kRceil) return exponent == 0 ? 1.0F : power_of_two(127 - exponent);
  if (exponent == 255) return 0.0F;
  return power_of_two(127 - (exponent == 0 ? 1 : exponent));  // no scale is subnormal
}

/// Where the scale of block `block` of a row is, as the units of compute capability 10.0 read them: tiles of 128 rows by 4
/// blocks, along the row and then down; in a tile row 32 q + i is at 16 i + 4 q ("128x4 layout" of cuBLAS).
TITAN_PORTABLE inline std::int64_t mx_scale_place(std::int64_t row, std::int64_t block,
                                                  std::int64_t blocks) {
  const std::int64_t tile = row / 128 * ((blocks + 3) / 4) + block / 4;
  const std::int64_t in_tile = row % 32 * 16 + row % 128 / 32 * 4 + block % 4;
  return tile * 512 + in_tile;
}

/// How the scales of a matrix lie: as one.
struct MXTiles {
  std::int64_t blocks = 0;  // of a row

  TITAN_PORTABLE std::int64_t place(std::int64_t row, std::int64_t block) const {
    return mx_scale_place(row, block, blocks);
  }
};

/// The same of a matrix in groups: each group's scales have tiles of their own, one group's behind the other's. Groups are of
/// rows or of columns (components/quantization/mx_operators.h: MXGroups).
struct MXGroupTiles {
  const std::int32_t* ends = nullptr;  // of groups: rows, or columns, which are whole blocks
  const std::int64_t* tiles_before = nullptr;  // each group: rows, or columns, of tiles
  std::int64_t groups = 0;
  bool of_rows = true;
  std::int64_t rows = 0;    // of the matrix
  std::int64_t blocks = 0;  // of a row

  /// -1 behind the last group.
  TITAN_PORTABLE std::int64_t place(std::int64_t row, std::int64_t block) const {
    const std::int64_t along = of_rows ? row : block * kMXBlock;
    std::int64_t group = 0;  // the first that ends behind it
    for (std::int64_t end = groups; group < end;) {
      const std::int64_t middle = (group + end) / 2;
      if (ends[middle] > along) {
        end = middle;
      } else {
        group = middle + 1;
      }
    }
    if (group == groups) return -1;
    const std::int64_t begin = group == 0 ? 0 : ends[group - 1];
    if (of_rows) {
      const std::int64_t before = tiles_before[group] * ((blocks + 3) / 4) * 512;
      return before + mx_scale_place(row - begin, block, blocks);
    }
    const std::int64_t before = tiles_before[group] * ((rows + 127) / 128) * 512;
    return before + mx_scale_place(row, block - begin / kMXBlock, (ends[group] - begin) / kMXBlock);
  }
};

/// A matrix whose rows are cut into blocks; strides in numbers, one of which is 1.
struct MXSource {
  std::int64_t rows = 0;
  std::int64_t columns = 0;  // whole blocks
  std::int64_t row_stride = 0;
  std::int64_t column_stride = 0;
};

/// Rounds a block of a row to `values` `[rows, columns]`, with its scale, which lies where `tiles` says.
template <class Number, class Tiles>
TITAN_PORTABLE void cast_mx_block(const MXSource& source, MXScaleRule rule, const Number* numbers,
                                  std::int64_t row, std::int64_t block, std::uint8_t* values,
                                  const Tiles& tiles, std::uint8_t* scales) {
  const Number* from = numbers + row * source.row_stride + block * kMXBlock * source.column_stride;
  float block_numbers[kMXBlock];
  if (source.column_stride == 1) {
    constexpr int kWidth = kWidest<Number>;
    for (int i = 0; i < kMXBlock; i += kWidth) {
      const auto pack = pack_at<kWidth>(from + i);
      for (int j = 0; j < kWidth; ++j) block_numbers[i + j] = to_float(pack.values[j]);
    }
  } else {
    for (int i = 0; i < kMXBlock; ++i) {
      block_numbers[i] = to_float(from[i * source.column_stride]);
    }
  }
  float largest = 0.0F;
  for (int i = 0; i < kMXBlock; ++i) {
    const float size = fabsf(block_numbers[i]);
    if (size > largest || !(size == size)) largest = size;  // what is no number stays
  }
  const int exponent = mx_exponent(largest, rule);
  const float inverse = mx_inverse(exponent, rule);
  std::uint8_t* to = values + row * source.columns + block * kMXBlock;
  for (int i = 0; i < kMXBlock; i += 16) {
    Pack<std::uint8_t, 16> pack;
    for (int j = 0; j < 16; ++j) {
      const float scaled = block_numbers[i + j] * inverse;
      pack.values[j] = to_e4m3(scaled > 448.0F ? 448.0F : scaled < -448.0F ? -448.0F : scaled);
    }
    pack_at<16>(to + i) = pack;
  }
  const std::int64_t place = tiles.place(row, block);
  if (place >= 0) scales[place] = static_cast<std::uint8_t>(exponent);
}

}  // namespace titan::cuda
