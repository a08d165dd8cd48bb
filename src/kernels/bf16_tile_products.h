#pragma once

#include "kernels/attention_bf16_tiles.h"
#include "kernels/attention_room.h"
#include "kernels/tile_unit.h"
#include "kernels/vectors.h"
#include "kernels/visible_tiles.h"

// What attention in bf16 does forward and backward. Scores are held as [key, query], as in attention_tiles.cpp, and so are
// outputs and the gradient of the queries, as [feature, query], until they are whole.

#ifdef __AMX_BF16__  // else it is only read: its vectors have other sizes

namespace titan::kernels::TITAN_ISA {
namespace {

[[maybe_unused]] constexpr float kLn2 = 0.6931471805599453F;
constexpr int kVectors = kQueryTile / kLanes;
static_assert(kLanes == kLines && kQueryTile == 64);

[[maybe_unused]] inline std::int64_t tiles_of(std::int64_t count, std::int64_t size) {
  return (count + size - 1) / size;
}

[[maybe_unused]] inline __m512i bits_of(Floats x) { return __builtin_bit_cast(__m512i, x); }

/// 32 numbers in bf16: those of `a`, then those of `b`.
[[maybe_unused]] inline __m512i rounded(Floats a, Floats b) {
  return __builtin_bit_cast(
      __m512i, _mm512_cvtne2ps_pbh(__builtin_bit_cast(__m512, b), __builtin_bit_cast(__m512, a)));
}
/// The same as pairs: the first of each, the second of each.
[[maybe_unused]] inline __m512i rounded_pairs(Floats a, Floats b) {
  alignas(64) static constexpr std::uint16_t kAlternating[32] = {
      0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kAlternating), rounded(a, b));
}

[[maybe_unused]] inline __mmask32 first_of_32(std::int64_t count) {
  return count >= 32 ? ~__mmask32{0} : static_cast<__mmask32>(count <= 0 ? 0 : (1U << count) - 1U);
}

/// Tile (r, s) at (r · steps + s): lines of 16 rows, of features [32 s, 32 s + 32); or pairs of those.
[[maybe_unused]] inline void pack_by_rows(Rows<std::uint16_t> from, std::int64_t rows,
                                          std::int64_t features, bool as_pairs, std::uint8_t* to) {
  const std::int64_t steps = tiles_of(features, kDepth);
  for (std::int64_t first = 0; first < tiles_of(rows, kQueryTile) * kQueryTile; first += kLines) {
    for (std::int64_t s = 0; s < steps; ++s, to += kTile) {
      const __mmask32 mask = first_of_32(features - s * kDepth);
      for (std::int64_t i = 0; i < kLines; ++i) {
        const bool is_there = first + i < rows;
        _mm512_store_si512(to + i * 64,
                           _mm512_maskz_loadu_epi16(
                               is_there ? mask : 0,
                               from.data + (is_there ? first + i : 0) * from.stride + s * kDepth));
      }
      if (as_pairs) transpose_tile(to);
    }
  }
}

/// Tile (t, c) at (t · tiles + c): pairs of rows [32 t, 32 t + 32), of 16 features; or lines of those features.
[[maybe_unused]] inline void pack_by_features(Rows<std::uint16_t> from, std::int64_t rows,
                                              std::int64_t features, bool as_lines,
                                              std::uint8_t* to) {
  const std::int64_t tiles = tiles_of(features, kLines);
  for (std::int64_t first = 0; first < tiles_of(rows, kQueryTile) * kQueryTile; first += kDepth) {
    for (std::int64_t c = 0; c < tiles; ++c, to += kTile) {
      const __mmask16 mask = first_lanes(features - c * kLines);
      const auto load = [&](std::int64_t row) {
        const bool is_there = row < rows;
        return _mm512_cvtepu16_epi32(
            _mm256_maskz_loadu_epi16(is_there ? mask : __mmask16{0},
                                     from.data + (is_there ? row : 0) * from.stride + c * kLines));
      };
      for (std::int64_t i = 0; i < kLines; ++i) {
        const __m512i even = load(first + 2 * i);
        const __m512i odd = load(first + 2 * i + 1);
        _mm512_store_si512(to + i * 64, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
      }
      if (as_lines) transpose_tile(to);
    }
  }
}

/// scores [32, 32] of 64 columns = lines (2 tiles, `steps` deep) times pairs (2 tiles).
[[maybe_unused]] inline void multiply_block(const std::uint8_t* lines, const std::uint8_t* pairs,
                                            std::int64_t steps, float* scores) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t s = 0; s < steps; ++s) {
    _tile_loadd(4, lines + s * kTile, 64);
    _tile_loadd(5, lines + (steps + s) * kTile, 64);
    _tile_loadd(6, pairs + s * kTile, 64);
    _tile_loadd(7, pairs + (steps + s) * kTile, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  constexpr std::int64_t kStride = kQueryTile * sizeof(float);
  _tile_stored(0, scores, kStride);
  _tile_stored(1, scores + 16, kStride);
  _tile_stored(2, scores + 16 * kQueryTile, kStride);
  _tile_stored(3, scores + 16 * kQueryTile + 16, kStride);
}

/// scores [keys, kQueryTile]; keys is 32 or 64
[[maybe_unused]] inline void multiply_scores(const std::uint8_t* lines, const std::uint8_t* pairs,
                                             std::int64_t steps, int keys, float* scores) {
  for (int key = 0; key < keys; key += 32) {
    for (int query = 0; query < kQueryTile; query += 32) {
      multiply_block(lines + key / kLines * steps * kTile, pairs + query / kLines * steps * kTile,
                     steps, scores + key * kQueryTile + query);
    }
  }
}

/// sums [16, 64] (rows `stride` apart) += lines (tile t at t · lines_stride) times pairs (tiles 4 t ... 4 t + 3)
[[maybe_unused]] inline void add_product(const std::uint8_t* lines, std::int64_t lines_stride,
                                         const std::uint8_t* pairs, int steps, float* sums,
                                         std::int64_t stride) {
  const std::int64_t bytes = stride * static_cast<std::int64_t>(sizeof(float));
  _tile_loadd(0, sums, bytes);
  _tile_loadd(1, sums + 16, bytes);
  _tile_loadd(2, sums + 32, bytes);
  _tile_loadd(3, sums + 48, bytes);
  for (int t = 0; t < steps; ++t) {
    _tile_loadd(4, lines + t * lines_stride, 64);
    _tile_loadd(5, pairs + (4 * t) * kTile, 64);
    _tile_dpbf16ps(0, 4, 5);
    _tile_loadd(6, pairs + (4 * t + 1) * kTile, 64);
    _tile_dpbf16ps(1, 4, 6);
    _tile_loadd(7, pairs + (4 * t + 2) * kTile, 64);
    _tile_dpbf16ps(2, 4, 7);
    _tile_loadd(5, pairs + (4 * t + 3) * kTile, 64);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_stored(0, sums, bytes);
  _tile_stored(1, sums + 16, bytes);
  _tile_stored(2, sums + 32, bytes);
  _tile_stored(3, sums + 48, bytes);
}

/// Rows [rows, features] in bf16 of columns [features, stride], times a factor.
[[maybe_unused]] inline void write_rows(const float* columns, std::int64_t stride,
                                        std::int64_t rows, std::int64_t features,
                                        const float* factors, std::uint16_t* to,
                                        std::int64_t to_stride) {
  for (std::int64_t d = 0; d < features; d += kLines) {
    const __mmask16 mask = first_lanes(features - d);
    for (std::int64_t first = 0; first < rows; first += kLines) {
      Words words;
      for (int i = 0; i < kLines; ++i) {
        words.row[i] = bits_of(load(columns + (d + i) * stride + first) * load(factors + first));
      }
      transpose(words);
      for (std::int64_t i = 0; i < smaller(kLines, rows - first); ++i) {
        const auto row = _mm512_cvtneps_pbh(_mm512_castsi512_ps(words.row[i]));
        _mm256_mask_storeu_epi16(to + (first + i) * to_stride + d, mask,
                                 __builtin_bit_cast(__m256i, row));
      }
    }
  }
}

}  // namespace
}  // namespace titan::kernels::TITAN_ISA

#endif
