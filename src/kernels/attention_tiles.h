#pragma once

#include <cstdint>

#include "kernels/visible.h"

namespace titan::kernels {

/// Keys that are handled together; queries are kQueryTile.
constexpr int kKeyTile = 48;

/// One head's tensors, rows one behind the other in fp32. Sizes of heads are multiples of 16, filled up with zeros.
struct AttentionHead {
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  int dim = 0;        // of queries and keys
  int value_dim = 0;  // of values
  float scale = 1;
  Visible visible;
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
};

/// What backward has beside: `lse` and `delta` of the queries (their last tile filled up), where `delta` is the sum of
/// gradient times output minus the gradient of lse. Adds to dv, and to dq and dk what is to be multiplied by the scale.
struct AttentionHeadGradient {
  const float* gradient = nullptr;  // [queries, value_dim]
  const float* lse = nullptr;
  const float* delta = nullptr;
  float* dq = nullptr;
  float* dk = nullptr;
  float* dv = nullptr;
};

/// For one instruction set.
struct AttentionTiles {
  /// Queries `[first, first + kQueryTile)`: rows of `out`, `out_stride` apart, and `lse`, both from the head's first
  /// query. scratch: forward_scratch floats.
  void (*forward)(const AttentionHead&, std::int64_t first, float* out, std::int64_t out_stride,
                  float* lse, float* scratch);
  /// The whole head. scratch: backward_scratch floats.
  void (*backward)(const AttentionHead&, const AttentionHeadGradient&, float* scratch);
};

constexpr std::int64_t forward_scratch(int dim, int value_dim) {
  return std::int64_t{kQueryTile} * (dim + value_dim + kKeyTile);
}
constexpr std::int64_t backward_scratch(std::int64_t queries, int dim, int value_dim) {
  const std::int64_t tiles = (queries + kQueryTile - 1) / kQueryTile;
  return kQueryTile * (tiles * (dim + value_dim) + 2 * kKeyTile);
}

}  // namespace titan::kernels
