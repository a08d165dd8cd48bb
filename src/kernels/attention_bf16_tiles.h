#pragma once

#include <cstdint>

#include "kernels/attention_head.h"

namespace titan::kernels {

// Attention in bf16 on a processor's unit for bf16 tiles (Intel's AMX): products of bf16 numbers summed in fp32, softmax in
// fp32, its weights rounded to bf16 for the products after it. Wants TileRegisters, and a scale of more than 0.

/// Queries that are handled together are kQueryTile; keys, forward and backward.
constexpr int kForwardKeys = 64;
constexpr int kBackwardKeys = 32;

// In what order a matrix lies for the unit; sizes in bytes, on 64-byte boundaries.
//   by rows:      a factor whose inner dimension is the features
//   by features:  a factor whose inner dimension is the rows
constexpr std::int64_t packed_by_rows(std::int64_t rows, std::int64_t features) {
  return (rows + 63) / 64 * 64 * ((features + 31) / 32 * 32) * 2;
}
constexpr std::int64_t packed_by_features(std::int64_t rows, std::int64_t features) {
  return (rows + 63) / 64 * 64 * ((features + 15) / 16 * 16) * 2;
}

/// What forward needs of a key head: packed_by_rows of the keys, then packed_by_features of the values.
constexpr std::int64_t packed_keys_bytes(const HeadShape& shape) {
  return packed_by_rows(shape.keys, shape.dim) + packed_by_features(shape.keys, shape.value_dim);
}
void pack_keys(const HeadShape& shape, Rows<std::uint16_t> keys, Rows<std::uint16_t> values,
               std::uint8_t* to);

std::int64_t forward_bf16_bytes(const HeadShape& shape);
/// Queries `[first, first + kQueryTile)` of a head: rows of `out`, `out_stride` apart, and `lse`, both from the head's
/// first query. room: forward_bf16_bytes.
void forward_bf16(const HeadShape& shape, Rows<std::uint16_t> queries,
                  const std::uint8_t* packed_keys, std::int64_t first, std::uint16_t* out,
                  std::int64_t out_stride, float* lse, std::uint8_t* room);

std::int64_t backward_bf16_bytes(const HeadShape& shape, std::int64_t heads);
/// The gradients of a key head `[keys, dim]` and `[keys, value_dim]`, and of the `heads` query heads that use it.
/// room: backward_bf16_bytes.
void backward_bf16(const HeadShape& shape, Rows<std::uint16_t> keys, Rows<std::uint16_t> values,
                   const QueryHead<std::uint16_t>* queries, std::int64_t heads,
                   ResultRows<std::uint16_t> dk, ResultRows<std::uint16_t> dv, std::uint8_t* room);

}  // namespace titan::kernels
