#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "titan/comm/process_group.h"

namespace titan::comm {

/// How keys and values come to the ranks that want them.
enum class Rotation {
  kAllGather,  ///< in one transfer, while the first block is computed; a rank has room for those of all
  kAllToAll,  ///< around the ring, one rank further with every block; a rank has room for those of two
};

struct RingOptions {
  Rotation rotation = Rotation::kAllGather;
  /// A rank has two pieces of a text, equally far from its two ends, so that all have as much to compute:
  /// of 2·ranks pieces rank r has r and the one that is as far from the end. Else the r-th of `ranks` pieces.
  bool head_tail = true;
  /// What scores are multiplied by; nothing: 1 / √d.
  std::optional<double> scale = std::nullopt;
  /// On our own kernels (kernels/attention.h), which take the tensors; else on LibTorch's. The same on all ranks.
  bool fast = false;
};

/// softmax(scale · Q Kᵀ, causal) V of texts that are cut over the ranks of a group. query `[B, H, S, d]`, key `[B, Hk, S, d]` and
/// value `[B, Hk, S, dv]` are those of this rank's S tokens, Hk divides H and dv is at most d; the result is `[B, H, S, dv]`, with
/// heads next to each other in memory. `allowed`, bool `[B or 1, 1, S, ranks·S]`: what this rank's queries may see of the keys of all
/// ranks, in rank order; it allows nothing later than a query, and each query its own key. Without it everything earlier is seen.
///
/// Blocks of keys are attended to one after the other, this rank's own first, while the next are on their way; blocks that are
/// later than all queries are left out. Results are merged by their log-sum-exp in at least fp32, in an order that
/// only the layout decides. Differentiable: backward passes keys and values round once more, and sends each rank the
/// gradients of its own. All ranks call it together, in backward too; `group` outlives the graph. An operator
/// ("titan::ring_attention") to whoever watches operators. Liu et al. 2023; the pieces are those of PyTorch.
at::Tensor ring_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          const std::optional<at::Tensor>& allowed, const RingOptions& options,
                          ProcessGroup& group);

}  // namespace titan::comm
