#pragma once

#include <immintrin.h>

// For files that are compiled for Intel's AMX: a number in fp32 as the sum of three in bf16, exactly.

namespace titan::kernels {
namespace {

constexpr int kPieces = 3;

/// Three bf16 numbers in the upper halves of floats.
struct Pieces {
  __m512i piece[kPieces];
};

/// x = piece 0 + piece 1 + piece 2. The first is x rounded, so that what is left out of products - second times third
/// piece - has no sign of its own; the rest has 15 bits, which two pieces hold.
[[maybe_unused]] inline Pieces split(__m512 x) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000));
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i first = _mm512_and_si512(_mm512_add_epi32(bits, _mm512_set1_epi32(0x8000)), upper);
  const __m512 rest = _mm512_sub_ps(x, _mm512_castsi512_ps(first));
  const __m512i second = _mm512_and_si512(_mm512_castps_si512(rest), upper);
  const __m512 last = _mm512_sub_ps(rest, _mm512_castsi512_ps(second));
  return {{first, second, _mm512_castps_si512(last)}};
}

}  // namespace
}  // namespace titan::kernels
