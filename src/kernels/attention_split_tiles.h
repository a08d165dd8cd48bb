#pragma once

#include <cstdint>

#include "kernels/attention_head.h"

namespace titan::kernels {

// Attention in fp32 on a processor's unit for bf16 tiles (Intel's AMX): every number is the sum of three in bf16, exactly, and of
// the nine products of such sums the six that fp32 can hold are added up in fp32. Queries, keys and values are split once for all
// tiles, softmax's weights and their slopes where they are made, in registers. Wants TileRegisters.

/// What forward needs of a key head.
std::int64_t split_keys_bytes(const HeadShape& shape);
void split_keys(const HeadShape& shape, Rows<float> keys, Rows<float> values, std::uint8_t* to);

std::int64_t forward_split_bytes(const HeadShape& shape);
/// Queries `[first, first + kQueryTile)` of a head: rows of `out`, `out_stride` apart, and `lse`, both from the head's
/// first query. room: forward_split_bytes.
void forward_split(const HeadShape& shape, Rows<float> queries, const std::uint8_t* keys,
                   std::int64_t first, float* out, std::int64_t out_stride, float* lse,
                   std::uint8_t* room);

std::int64_t backward_split_bytes(const HeadShape& shape, std::int64_t heads);
/// The gradients of a key head `[keys, dim]` and `[keys, value_dim]`, and of the `heads` query heads that use it.
/// room: backward_split_bytes.
void backward_split(const HeadShape& shape, Rows<float> keys, Rows<float> values,
                    const QueryHead<float>* queries, std::int64_t heads, ResultRows<float> dk,
                    ResultRows<float> dv, std::uint8_t* room);

}  // namespace titan::kernels
