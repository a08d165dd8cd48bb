#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace titan::comm {

// The fused attention kernels of the device at hand, LibTorch's or our own, and what ring attention needs of them beside
// their result: the log-sum-exp. Autograd sees none of it.

/// Queries `[B, H, Q, d]` and the keys `[B, Hk, K, d]` and values `[B, Hk, K, dv]` that they see; dv is at most d.
struct AttentionBlock {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;
  /// The keys are those of the queries, which see none that is later.
  bool causal = false;
  /// Bool `[B or 1, 1, Q, K]`, in place of `causal`; undefined: all keys.
  at::Tensor allowed;
  /// What scores are multiplied by; nothing: 1 / √d.
  std::optional<double> scale = std::nullopt;
  /// By kernels/attention.h.
  bool fast = false;
};

struct BlockOutput {
  at::Tensor output;       // [B, H, Q, dv]
  at::Tensor log_sum_exp;  // [B, H, Q], at least fp32; -inf where a query sees no key
};
BlockOutput attend(const AttentionBlock& block);

struct BlockGradients {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;
};
/// `output` and `log_sum_exp` are those of the queries over all blocks, so that the gradients of blocks add up.
BlockGradients attend_backward(const at::Tensor& gradient, const AttentionBlock& block,
                               const BlockOutput& whole);

}  // namespace titan::comm
