#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/protocols/model.h"

namespace titan::protocols {

// What the arguments of decoder-only language models have in common.

/// Makes the job's sequence length the model's longest; warns when the model was made for less.
std::vector<std::string> take_sequence_length(std::int64_t& max_seq_len, std::int64_t seq_len);

/// Counts that ranks of tensor parallelism share.
struct SharedCounts {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t vocabulary = 0;
};

/// Why `degree` ranks cannot share them (ModelArgs::tensor_parallel_problems).
std::vector<std::string> sharing_problems(const SharedCounts& counts, std::int64_t degree);

/// What a decoder's size follows from beside its parameters.
struct DecoderShape {
  std::int64_t n_layers = 0;
  std::int64_t n_heads = 0;
  /// Widths of a head's queries and keys, and of its values, together.
  std::int64_t head_dims = 0;
  /// Of `num_experts` a token passes `top_k`.
  std::int64_t top_k = 1;
  std::int64_t num_experts = 1;
  /// The output layer's weight is the embedding's.
  bool tied = false;
};

/// The size by the reference's rule: of experts ("moe.experts" in the name) only those that a token passes are multiplied. `model` is the whole model.
ModelSize decoder_size(const nn::Module& model, const DecoderShape& shape, std::int64_t seq_len);

}  // namespace titan::protocols
