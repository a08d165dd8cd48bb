#pragma once

#include <optional>

#include "titan/nn/linear.h"
#include "titan/nn/module.h"

namespace titan::nn {

/// softmax(scale · Q Kᵀ, masked) V on LibTorch's fused kernels. Called with {query `[B, H, S, d]`, key `[B, Hk, S, d]`, value
/// `[B, Hk, S, dv]`}, where Hk divides H (query head h uses key head h / (H / Hk)), and the sequence's mask;
/// returns {`[B, S, H, dv]`, contiguous}. With more keys than queries the queries are those of the last keys.
class InnerAttention : public Module {
 public:
  /// Without a scale it is 1 / √d.
  explicit InnerAttention(std::optional<double> scale = std::nullopt) : scale_(scale) {}

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  at::Tensor attend(const Inputs& inputs, const CausalMask& mask) const;
  at::Tensor attend(const Inputs& inputs, const AllowedMask& mask) const;
  at::Tensor attend(const Inputs& inputs, const PackedDocuments& documents) const;
  at::Tensor fused(const Inputs& inputs, const std::optional<at::Tensor>& allowed,
                   bool is_causal) const;

  std::optional<double> scale_;
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
class Attention : public Module {
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
