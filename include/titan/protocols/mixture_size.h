#pragma once

#include "titan/nn/moe/args.h"
#include "titan/protocols/model.h"

namespace titan::protocols {

/// What of a mixture-of-experts model is no parameter but costs operations: the layers' attention.
struct AttentionSize {
  std::int64_t n_layers = 0;
  std::int64_t n_heads = 0;
  /// Widths of a query and of a value head together.
  std::int64_t head_dims = 0;
};

/// The size of a model of whose routed experts a token uses `top_k`: only these count as operations. Parameters are told apart by
/// their names, as the reference does: "moe.experts", "moe.shared_experts", "moe.router"; all else is dense.
ModelSize mixture_size(const nn::Module& model, const nn::MoEArgs& moe,
                       const AttentionSize& attention, std::int64_t seq_len);

}  // namespace titan::protocols
