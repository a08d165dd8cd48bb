#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "titan/nn/block_masks.h"
#include "titan/nn/linear.h"
#include "titan/nn/module.h"
#include "titan/nn/rms_norm.h"

namespace titan::nn {

/// softmax(scale · Q Kᵀ, masked) V on LibTorch's fused kernels. Called with {query `[B, H, S, d]`, key `[B, Hk, S, d]`, value
/// `[B, Hk, S, dv]`}, where Hk divides H (query head h uses key head h / (H / Hk)), and the sequence's mask;
/// returns {`[B, S, H, dv]`, contiguous}. With more keys than queries the queries are those of the last keys.
class InnerAttention : public Module, public FastPath {
 public:
  /// Without a scale it is 1 / √d.
  explicit InnerAttention(std::optional<double> scale = std::nullopt) : scale_(scale) {}
  std::optional<double> scale() const { return scale_; }
  /// Whether it has taken its fast path and these gain by it, whatever their mask.
  bool goes_fast(const Inputs& inputs) const;

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
  /// Width of a head; 0: the heads share `dim`.
  std::int64_t head_dim = 0;
  /// With this epsilon each head's queries and keys are normalised before they are rotated; nothing: they are not.
  std::optional<double> qk_norm_eps = std::nullopt;
  /// What confines attention to blocks of tokens; null: nothing.
  std::shared_ptr<BlockMasks> blocks = nullptr;
};

/// Attention with its projections, as a decoder's layer has it. Called with {x `[B, S, dim]`, a table of rotations (rope.h)} and
/// the sequence; returns {`[B, S, dim]`}.
class AttentionLayer : public Module {
 public:
  /// All projections get `std` 0.02, the output projection `output_std`.
  virtual void init_weights(double output_std, at::Generator generator) = 0;
};

/// Grouped-query attention with rotary position embedding. Called with {x `[B, S, dim]`, a table of rotations
/// (rope.h), undefined: none} and the sequence; returns {`[B, S, dim]`}. The number of heads follows from the
/// projections' sizes, so that they may be sharded from outside.
class Attention : public AttentionLayer, public FastPath {
 public:
  explicit Attention(const AttentionArgs& args);
  void init_weights(double output_std, at::Generator generator) override;

 protected:
  Tensors forward(const Inputs& inputs) override;

 private:
  /// Queries and keys `[B, S, heads, head_dim]` rotated to where their tokens are; `first`: the position of the
  /// first one where the sequence does not say.
  std::pair<at::Tensor, at::Tensor> rotate(const at::Tensor& query, const at::Tensor& key,
                                           const Inputs& inputs, std::int64_t first) const;

  std::int64_t head_dim_;
  RMSNorm* q_norm_ = nullptr;
  RMSNorm* k_norm_ = nullptr;
  Linear* wq_;
  Linear* wk_;
  Linear* wv_;
  Linear* wo_;
  InnerAttention* inner_attention_;
  std::shared_ptr<BlockMasks> blocks_;
};

}  // namespace titan::nn
