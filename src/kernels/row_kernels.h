#pragma once

#include <cstdint>

namespace titan::kernels {

/// How LibTorch's tensors in bf16 are handed over.
using Bf16Bits = std::uint16_t;

/// For numbers of a type, computed in fp32.
template <class Number>
struct ElementKernels {
  /// Turns adjacent pairs of `[heads, dim]`, whose heads lie `stride` apart, by a row of the table: (cos, sin) of
  /// each pair. `direction` -1 turns back. y `[heads, dim]`, heads `y_stride` apart.
  void (*rotate)(const Number* x, std::int64_t stride, const float* table, std::int64_t heads,
                 std::int64_t dim, float direction, Number* y, std::int64_t y_stride);
  /// The same of number i of the first half with number i of the second, by a row of `dim` cosines and `dim` sines.
  void (*rotate_halves)(const Number* x, std::int64_t stride, const float* table,
                        std::int64_t heads, std::int64_t dim, float direction, Number* y,
                        std::int64_t y_stride);
  /// y = silu(a) · b
  void (*swiglu)(const Number* a, const Number* b, std::int64_t count, Number* y);
  void (*swiglu_backward)(const Number* dy, const Number* a, const Number* b, std::int64_t count,
                          Number* da, Number* db);
};

/// Rows of one token's features, or of single numbers, in fp32; for one instruction set. Each row is by itself, so
/// that it does not matter which thread has it.
struct RowKernels {
  /// y = x · rsqrt(mean(x²) + eps) · weight of `[rows, dim]`, and what x was multiplied by.
  void (*rms_norm)(const float* x, const float* weight, std::int64_t rows, std::int64_t dim,
                   float eps, float* y, float* factors);
  /// dx; adds to dweight `[dim]`, row by row.
  void (*rms_norm_backward)(const float* dy, const float* x, const float* weight,
                            const float* factors, std::int64_t rows, std::int64_t dim, float* dx,
                            float* dweight);
  ElementKernels<float> floats;
  ElementKernels<Bf16Bits> bf16;
  /// Of a row of logits its log-sum-exp; with `gradient` they become their softmax.
  float (*log_sum_exp)(float* logits, std::int64_t count, bool gradient);
};

}  // namespace titan::kernels
