#pragma once

#include <immintrin.h>

#include <cstdint>

// For files that are compiled for Intel's AMX. Its registers hold tiles of 16 rows of 64 bytes; one instruction adds to 16 x 16
// sums in fp32 the product of `lines` - 16 of them, 32 numbers in bf16 each - and `pairs` - 16 pairs of inner places, each
// place of 16 lines.

namespace titan::kernels {
namespace {

constexpr int kLines = 16;            // of a tile
constexpr int kDepth = 32;            // inner places of a tile
constexpr std::int64_t kTile = 1024;  // bytes

/// The first `count` of 16 lanes; none below 0.
[[maybe_unused]] inline __mmask16 first_lanes(std::int64_t count) {
  return count >= 16 ? __mmask16{0xFFFF}
                     : static_cast<__mmask16>(count <= 0 ? 0 : (1U << count) - 1U);
}

/// 16 rows of 16 words of 32 bits, `stride` bytes apart, columns to rows.
struct Words {
  __m512i row[kLines];
};
[[maybe_unused]] inline void transpose(Words& words) {
  __m512i(&row)[kLines] = words.row;
  __m512i t[kLines];
  for (int i = 0; i < kLines; i += 2) {
    t[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
  }
  for (int i = 0; i < kLines; i += 4) {
    row[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    row[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    row[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    row[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int half = 0; half < kLines; half += 8) {
    for (int i = half; i < half + 4; ++i) {
      t[i] = _mm512_shuffle_i32x4(row[i], row[i + 4], 0x88);
      t[i + 4] = _mm512_shuffle_i32x4(row[i], row[i + 4], 0xDD);
    }
  }
  for (int i = 0; i < 8; ++i) {
    row[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    row[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
  }
}

/// Lines become pairs, and pairs lines.
[[maybe_unused]] inline void transpose_tile(std::uint8_t* tile) {
  Words words;
  for (int i = 0; i < kLines; ++i) words.row[i] = _mm512_load_si512(tile + i * 64);
  transpose(words);
  for (int i = 0; i < kLines; ++i) _mm512_store_si512(tile + i * 64, words.row[i]);
}

}  // namespace
}  // namespace titan::kernels
