#pragma once

#include "kernels/vectors.h"

namespace titan::kernels::TITAN_ISA {
namespace {

/// How the left factor lies: rows one behind the other, or columns.
enum class Left { kRows, kColumns };

template <int kRows, int kVectors, Left kLeft>
inline void product_in_registers(int inner, const float* a, std::int64_t lda, const float* b,
                                 std::int64_t ldb, float* c, std::int64_t ldc, bool adds) {
  Floats sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
      sums[i][j] = adds ? load(c + i * ldc + j * kLanes) : Floats{};
    }
  }
  for (int k = 0; k < inner; ++k) {
    Floats row[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) row[j] = load(b + k * ldb + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const float factor = kLeft == Left::kRows ? a[i * lda + k] : a[k * lda + i];
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) sums[i][j] += factor * row[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) store(c + i * ldc + j * kLanes, sums[i][j]);
  }
}

/// As many rows at a time as registers hold, then fewer.
template <int kMostRows, int kVectors, Left kLeft>
inline void product_of_columns(int rows, int inner, const float* a, std::int64_t lda,
                               const float* b, std::int64_t ldb, float* c, std::int64_t ldc,
                               bool adds) {
  int i = 0;
  const std::int64_t step = kLeft == Left::kRows ? lda : 1;
  for (; i + kMostRows <= rows; i += kMostRows) {
    product_in_registers<kMostRows, kVectors, kLeft>(inner, a + i * step, lda, b, ldb, c + i * ldc,
                                                     ldc, adds);
  }
  for (; i + 4 <= rows; i += 4) {
    product_in_registers<4, kVectors, kLeft>(inner, a + i * step, lda, b, ldb, c + i * ldc, ldc,
                                             adds);
  }
  for (; i < rows; ++i) {
    product_in_registers<1, kVectors, kLeft>(inner, a + i * step, lda, b, ldb, c + i * ldc, ldc,
                                             adds);
  }
}

/// C = A B, or C + A B: `[rows, inner]` by `[inner, columns]`, columns a multiple of kLanes. Every element is a
/// sum in the order of `inner`.
template <Left kLeft>
inline void multiply(int rows, int columns, int inner, const float* a, std::int64_t lda,
                     const float* b, std::int64_t ldb, float* c, std::int64_t ldc, bool adds) {
  int done = 0;
#if TITAN_LANES == 16  // 32 registers
  for (; done + 4 * kLanes <= columns; done += 4 * kLanes) {
    product_of_columns<6, 4, kLeft>(rows, inner, a, lda, b + done, ldb, c + done, ldc, adds);
  }
  for (; done + 2 * kLanes <= columns; done += 2 * kLanes) {
    product_of_columns<12, 2, kLeft>(rows, inner, a, lda, b + done, ldb, c + done, ldc, adds);
  }
  for (; done < columns; done += kLanes) {
    product_of_columns<16, 1, kLeft>(rows, inner, a, lda, b + done, ldb, c + done, ldc, adds);
  }
#else  // 16 registers
  for (; done + 2 * kLanes <= columns; done += 2 * kLanes) {
    product_of_columns<6, 2, kLeft>(rows, inner, a, lda, b + done, ldb, c + done, ldc, adds);
  }
  for (; done < columns; done += kLanes) {
    product_of_columns<8, 1, kLeft>(rows, inner, a, lda, b + done, ldb, c + done, ldc, adds);
  }
#endif
}

}  // namespace
}  // namespace titan::kernels::TITAN_ISA
