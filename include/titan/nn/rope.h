#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

namespace titan::nn {

/// Frequency scaling that stretches positions to longer contexts, as Llama 3.1 defines it.
struct RopeScaling {
  double scaling_factor = 8.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  std::int64_t original_max_position_embeddings = 8192;
};

/// The table of rotations e^(i·position·frequency): complex64 `[length, head_dim / 2]` on `device`.
at::Tensor precompute_freqs_cis(std::int64_t head_dim, std::int64_t length, double theta,
                                const RopeScaling& scaling, at::Device device);

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

/// The rows of the table for the tokens of a call, to be broadcast over heads: `[B or 1, S, 1, head_dim / 2]`.
/// `positions` int64 `[S]` or `[B, S]`; undefined: `first`, `first + 1`, ...
at::Tensor rotations_of(const at::Tensor& freqs_cis, const at::Tensor& positions,
                        std::int64_t first, std::int64_t length);

/// Rotates adjacent pairs of the last dimension of `x` (`[B, S, heads, head_dim]`) by `rotations`. Computed in fp32,
/// returned in the type of `x`.
at::Tensor rotate_pairs(const at::Tensor& x, const at::Tensor& rotations);

/// The same of queries and keys.
std::pair<at::Tensor, at::Tensor> apply_rotary_emb(const at::Tensor& query, const at::Tensor& key,
                                                   const at::Tensor& rotations);

}  // namespace titan::nn
