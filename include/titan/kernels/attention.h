#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace titan::kernels {

/// What a query sees of the keys, and how scores are scaled.
struct AttentionOptions {
  /// Query i of Q sees keys up to i + K - Q: queries are those of the last keys.
  bool is_causal = false;
  /// Beside that, true where a query sees a key: bool `[B or 1, 1, Q, K]`. Tiles of which nothing is seen are not
  /// computed, so that documents and sliding windows are a mask.
  std::optional<at::Tensor> allowed = std::nullopt;
  /// None: 1 / √D.
  std::optional<double> scale = std::nullopt;
};

struct AttentionResult {
  at::Tensor output;  // [B, Q, H, E], contiguous, in the query's type
  at::Tensor
      lse;  // [B, H, Q], fp32: log Σ exp(scale · score) over what is seen; nothing: -∞, and output 0
};

/// Whether `attention` takes these: on the CPU, of one type, fp32 or bf16, H a multiple of the keys' heads.
bool takes_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value);

/// softmax(scale · Q Kᵀ, masked) V of query `[B, H, Q, D]`, key `[B, Hk, K, D]` and value `[B, Hk, K, E]`; query head h uses
/// key head h / (H / Hk). Computed in fp32, tile by tile; hidden tiles cost nothing. In bf16 the factors of products are
/// rounded to it where the processor has a unit for that (products.h). Both results are differentiable: parts of the keys can
/// be attended to one after the other, and a sink is output · sigmoid(lse - sink). The same bits for any number of
/// threads.
AttentionResult attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          const AttentionOptions& options);

/// The same without autograd.
AttentionResult attention_forward(const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value, const AttentionOptions& options);

struct AttentionGradients {
  at::Tensor query;
  at::Tensor key;
  at::Tensor value;
};

/// The gradients by these keys and values, and the part of the query's that goes through them. `result` may be of more
/// keys than these: then the parts of all of them add up to the whole (context parallelism's ring).
AttentionGradients attention_backward(const at::Tensor& gradient, const at::Tensor& query,
                                      const at::Tensor& key, const at::Tensor& value,
                                      const AttentionResult& result,
                                      const AttentionOptions& options);

}  // namespace titan::kernels
