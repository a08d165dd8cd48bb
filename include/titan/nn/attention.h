#pragma once

#include "titan/nn/linear.h"
#include "titan/nn/module.h"

namespace titan::nn {

class KeyValueCache;

/// softmax(Q Kᵀ / √d, masked) V on LibTorch's fused kernels. Query `[B, H, S, d]`, key and value
/// `[B, Hk, S, d]` where Hk divides H (query head h uses key head h / (H / Hk)); output `[B, S, H,
/// d]`, contiguous.
///
/// Called with {query, key, value} for causal attention, or with what attention_masks.h builds
/// behind them: {allowed} a bool mask `[B, 1, S, S]`, or {offsets, longest} packed documents for
/// flash attention. One query alone is that of the last key.
class InnerAttention : public Module {
 protected:
  Tensors forward(const Tensors& inputs) override;
};

struct AttentionArgs {
  std::int64_t dim = 0;
  std::int64_t n_heads = 0;
  std::int64_t n_kv_heads = 0;
  at::ScalarType dtype = at::kFloat;
};

/// Grouped-query attention with rotary position embedding. Called with {x `[B, S, dim]`, freqs_cis,
/// masks...}; returns `[B, S, dim]`. The number of heads follows from the projections' sizes, so
/// that they may be sharded from outside.
class Attention : public Module {
 public:
  explicit Attention(const AttentionArgs& args);
  /// Query, key and value projections get `std` 0.02, the output projection `output_std`.
  void init_weights(double output_std, at::Generator generator);
  /// From now on x is what follows the tokens in `cache`, and is added to it; null ends that.
  void set_cache(KeyValueCache* cache) { cache_ = cache; }

 protected:
  Tensors forward(const Tensors& inputs) override;

 private:
  Tensors attention_inputs(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const Tensors& inputs);

  std::int64_t head_dim_;
  Linear* wq_;
  Linear* wk_;
  Linear* wv_;
  Linear* wo_;
  InnerAttention* inner_attention_;
  KeyValueCache* cache_ = nullptr;
};

}  // namespace titan::nn
