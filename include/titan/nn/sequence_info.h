#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <variant>

namespace titan::nn {

class KeyValueCaches;

/// A token attends to itself and everything before it.
struct CausalMask {};

/// A query may see a key where `allowed` is true: bool `[B or 1, 1, queries, keys]`.
struct AllowedMask {
  at::Tensor allowed;
};

/// Causal within documents that are packed one behind the other, for flash attention: the starts of all
/// documents of the flattened batch and its end, int32 `[documents + 1]`, and the length of the longest.
struct PackedDocuments {
  at::Tensor offsets;
  std::int64_t longest = 0;
};

using AttentionMask = std::variant<CausalMask, AllowedMask, PackedDocuments>;

/// What the tokens of a call are, beside their values: the same for all layers of a model, and shared by
/// them.
struct SequenceInfo {
  AttentionMask mask;
  /// Of each token in its text: int64 `[S]` or `[B, S]`. Undefined: 0, 1, ..., behind what `caches` hold.
  at::Tensor positions;
  /// Keys and values of the tokens before these; null: there are none. Not for training.
  std::shared_ptr<KeyValueCaches> caches;
  /// int64 `[keys]`, defined where these tokens are this rank's part of texts of which other ranks have the rest (context
  /// parallelism): the positions of all ranks' tokens, in rank order. Then `positions` is `[S]` and says which of them
  /// these are, and a mask has their queries, and the keys of all ranks in rank order.
  at::Tensor key_positions;

  bool is_part() const { return key_positions.defined(); }
};

using SharedSequence = std::shared_ptr<const SequenceInfo>;

}  // namespace titan::nn
