#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <utility>

namespace titan::nn {

/// Frequency scaling that stretches positions to longer contexts, as Llama 3.1 defines it.
struct RopeScaling {
  double scaling_factor = 8.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  std::int64_t original_max_position_embeddings = 8192;
};

// There are two kinds of tables, for the two ways to pair the features of a head. What takes a table tells them
// apart by its type.

/// For adjacent pairs, features 2j and 2j + 1: e^(i·position·frequency), complex64 `[length, head_dim / 2]` on
/// `device`.
at::Tensor precompute_freqs_cis(std::int64_t head_dim, std::int64_t length, double theta,
                                const std::optional<RopeScaling>& scaling, at::Device device);

/// For the two halves, features j and head_dim / 2 + j: cosines and behind them sines, each twice, fp32
/// `[length, 2 · head_dim]` on `device`.
at::Tensor precompute_rope_cache(std::int64_t head_dim, std::int64_t length, double theta,
                                 at::Device device);

/// The rows of a table for the tokens of a call, to be broadcast over heads: `[B or 1, S, 1, columns]`.
/// `positions` int64 `[S]` or `[B, S]`; undefined: `first`, `first + 1`, ...
at::Tensor rotations_of(const at::Tensor& table, const at::Tensor& positions, std::int64_t first,
                        std::int64_t length);

/// Rotates queries and keys (`[B, S, heads, head_dim]`) by `rotations`, rows of either table. Adjacent pairs in
/// fp32, returned in the inputs' type; halves in the inputs' type.
std::pair<at::Tensor, at::Tensor> apply_rotary_emb(const at::Tensor& query, const at::Tensor& key,
                                                   const at::Tensor& rotations);

}  // namespace titan::nn
