#pragma once

#include <cstdint>

namespace titan::kernels {

/// How LibTorch's tensors in bf16 are handed over.
using Bf16Bits = std::uint16_t;

/// Rows `[rows, dim]` of a type, each to be normalised.
template <class Number>
struct NormRows {
  const Number* x;
  const Number* residual;  // is added to x first; null: nothing is
  const Number* weight;    // [dim]
  std::int64_t rows;
  std::int64_t dim;
  float eps;
  Number* sum;     // x + residual, where there is one
  Number* y;       // sum · rsqrt(mean(sum²) + eps) · weight
  float* factors;  // [rows]: what the sums were multiplied by
};

/// And back.
template <class Number>
struct NormRowsBackward {
  const Number* dy;
  const Number* dsum;  // the gradient of the sum by its other users; null: there are none
  const Number* sum;
  const Number* weight;
  const float* factors;
  std::int64_t rows;
  std::int64_t dim;
  Number* dx;      // of x and of the residual
  float* dweight;  // [dim]: is added to, row by row
};

/// For numbers of a type, computed in fp32.
template <class Number>
struct ElementKernels {
  void (*rms_norm)(const NormRows<Number>& rows);
  void (*rms_norm_backward)(const NormRowsBackward<Number>& rows);
  /// Turns adjacent pairs of `[heads, dim]`, whose heads lie `stride` apart, by a row of the table: (cos, sin) of
  /// each pair. `direction` -1 turns back. y `[heads, dim]`, heads `y_stride` apart.
  void (*rotate_pairs)(const Number* x, std::int64_t stride, const float* table, std::int64_t heads,
                       std::int64_t dim, float direction, Number* y, std::int64_t y_stride);
  /// The same of features j and dim / 2 + j; in the table are `dim` cosines, then `dim` sines.
  void (*rotate_halves)(const Number* x, std::int64_t stride, const float* table,
                        std::int64_t heads, std::int64_t dim, float direction, Number* y,
                        std::int64_t y_stride);
  /// y = silu(a) · b
  void (*swiglu)(const Number* a, const Number* b, std::int64_t count, Number* y);
  /// Where `y` is not null, it gets silu(a) · b again; it may be dy itself.
  void (*swiglu_backward)(const Number* dy, const Number* a, const Number* b, std::int64_t count,
                          Number* da, Number* db, Number* y);
};

/// Rows of one token's features, or of single numbers; for one instruction set. Each row is by itself, so that it does not
/// matter which thread has it.
struct RowKernels {
  ElementKernels<float> floats;
  ElementKernels<Bf16Bits> bf16;
  /// Of a row of logits its log-sum-exp; with `gradient` they become their softmax.
  float (*log_sum_exp)(float* logits, std::int64_t count, bool gradient);
  /// to = x · factor, or to + that.
  void (*scale)(const float* x, float factor, std::int64_t count, float* to, bool adds);
  /// Σ a · b
  float (*product)(const float* a, const float* b, std::int64_t count);
};

}  // namespace titan::kernels
