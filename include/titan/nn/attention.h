#pragma once

#include "titan/nn/linear.h"
#include "titan/nn/module.h"

namespace titan::nn {

/// softmax(Q Kᵀ / √d, masked) V on LibTorch's fused kernels. Called with {query `[B, H, S, d]`, key, value
/// `[B, Hk, S, d]`}, where Hk divides H (query head h uses key head h / (H / Hk)), and the sequence's mask;
/// returns {`[B, S, H, d]`, contiguous}. With more keys than queries the queries are those of the last keys.
class InnerAttention : public Module, public FastPath {
 protected:
  Tensors forward(const Inputs& inputs) override;
};

struct AttentionArgs {
  std::int64_t dim = 0;
  std::int64_t n_heads = 0;
  std::int64_t n_kv_heads = 0;
  at::ScalarType dtype = at::kFloat;
};

/// Grouped-query attention with rotary position embedding. Called with {x `[B, S, dim]`, freqs_cis} and the
/// sequence; returns {`[B, S, dim]`}. The number of heads follows from the projections' sizes, so that they
/// may be sharded from outside.
class Attention : public Module, public FastPath {
 public:
  explicit Attention(const AttentionArgs& args);
  /// Query, key and value projections get `std` 0.02, the output projection `output_std`.
  void init_weights(double output_std, at::Generator generator);

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  std::int64_t head_dim_;
  Linear* wq_;
  Linear* wk_;
  Linear* wv_;
  Linear* wo_;
  InnerAttention* inner_attention_;
};

}  // namespace titan::nn
