#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "titan/nn/rope.h"
#include "titan/protocols/model.h"

namespace titan::models::llama3 {

/// Which attention kernel family a flavor asks for: plain causal, or masked by documents.
enum class AttentionType { kSdpa, kFlex, kVarlen };
enum class AttentionMaskType { kCausal, kBlockCausal };

/// Hyper-parameters of Llama 3; defaults are those of the 8B model's family. Grattafiori et al.
/// 2024.
struct TransformerModelArgs : public protocols::ModelArgs {
  std::int64_t dim = 4096;
  std::int64_t n_layers = 32;
  std::int64_t n_heads = 32;
  /// Key and value heads; unset: as many as query heads.
  std::optional<std::int64_t> n_kv_heads;
  std::int64_t vocabulary = 128256;
  /// The feed-forward width is rounded up to a multiple of this.
  std::int64_t multiple_of = 256;
  std::optional<double> ffn_dim_multiplier;
  double norm_eps = 1e-5;
  double rope_theta = 10000;
  nn::RopeScaling rope_scaling;
  std::int64_t max_seq_len = 131072;
  /// Initial output projections shrink with the layer's own depth, else with the total depth.
  bool depth_init = true;
  AttentionType attn_type = AttentionType::kSdpa;
  AttentionMaskType attn_mask_type = AttentionMaskType::kCausal;
  /// Whether the output layer's weight is the embedding's, as in the small models of Llama 3.2.
  bool enable_weight_tying = false;

  /// Width of the feed-forward layers.
  std::int64_t ffn_hidden_dim() const;
  std::int64_t kv_heads() const { return n_kv_heads.value_or(n_heads); }

  std::unique_ptr<protocols::ModelArgs> clone() const override;
  std::vector<std::string> update_from_config(const config::JobConfig& config) override;
  protocols::ModelSize size_of(const nn::Module& model, std::int64_t seq_len) const override;
  std::string to_json() const override;
  std::int64_t vocab_size() const override { return vocabulary; }
  std::vector<std::string> tensor_parallel_problems(std::int64_t degree) const override;
  bool allows_cut_texts() const override { return true; }
};

/// All flavors by name: debugmodel, 1B, 8B, 70B, 405B, their attention variants, and three sized for CPUs
/// (tiny, wiki10m, bench100m).
std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> flavors();

}  // namespace titan::models::llama3
