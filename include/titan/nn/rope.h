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

/// YaRN: frequencies of long wavelengths are divided by `factor`, those that turn more than `beta_fast` times in the
/// original length are kept, those in between blended. Peng et al. 2023.
struct YarnScaling {
  std::int64_t original_seq_len = 4096;
  double factor = 40;
  double beta_fast = 32;
  double beta_slow = 1;
};

/// The same table with YaRN where `length` is more than the original length, else without.
at::Tensor precompute_yarn_freqs_cis(std::int64_t head_dim, std::int64_t length, double theta,
                                     const YarnScaling& scaling, at::Device device);

/// The rows of a table for the tokens of a call, to be broadcast over heads: `[B or 1, S, 1, columns]`.
/// `positions` int64 `[S]` or `[B, S]`; undefined: `first`, `first + 1`, ...
at::Tensor rotations_of(const at::Tensor& table, const at::Tensor& positions, std::int64_t first,
                        std::int64_t length);

/// Rotates adjacent pairs of the last dimension of `x` (`[B, S, heads, head_dim]`) by rows of the table for them. Computed in
/// fp32, returned in the type of `x`. `is_fast`: by kernels::rotate, where that takes x.
at::Tensor rotate_pairs(const at::Tensor& x, const at::Tensor& rotations, bool is_fast);

/// Rotates queries and keys by `rotations`, rows of either table. Halves are rotated in the inputs' type, but for kernels::rotate,
/// which `is_fast` allows.
std::pair<at::Tensor, at::Tensor> apply_rotary_emb(const at::Tensor& query, const at::Tensor& key,
                                                   const at::Tensor& rotations, bool is_fast);

}  // namespace titan::nn
