#pragma once

#include <map>
#include <memory>
#include <string>

#include "titan/nn/moe/args.h"
#include "titan/nn/rope.h"
#include "titan/protocols/model.h"

namespace titan::models::deepseek_v3 {

/// Whether a token attends to everything before it, or within its own document only.
enum class AttentionMaskType { kCausal, kBlockCausal };

/// Hyper-parameters of DeepSeek V2 and V3; names and defaults are the reference's. DeepSeek-AI 2024.
struct DeepSeekV3ModelArgs : public protocols::ModelArgs {
  std::int64_t max_seq_len = 16384;
  std::int64_t vocabulary = 102400;
  std::int64_t dim = 2048;
  /// Width of the feed-forward layers of the first `n_dense_layers`.
  std::int64_t inter_dim = 10944;
  /// Width of one expert.
  std::int64_t moe_inter_dim = 1408;
  std::int64_t n_layers = 27;
  std::int64_t n_dense_layers = 1;
  std::int64_t n_heads = 16;
  double norm_eps = 1e-5;
  nn::MoEArgs moe;
  /// Ranks of the latent vectors that queries, and keys with values, are made of. Queries: 0 for none.
  std::int64_t q_lora_rank = 0;
  std::int64_t kv_lora_rank = 512;
  /// Parts of a head: without position, with it, and of values.
  std::int64_t qk_nope_head_dim = 128;
  std::int64_t qk_rope_head_dim = 64;
  std::int64_t v_head_dim = 128;
  AttentionMaskType attn_mask_type = AttentionMaskType::kCausal;
  double rope_theta = 10000.0;
  nn::YarnScaling yarn;
  double mscale = 1.0;

  /// Width of a query or key.
  std::int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  /// What scores are multiplied by: 1 / √width, and more where YaRN stretches positions.
  double softmax_scale() const;

  std::unique_ptr<protocols::ModelArgs> clone() const override;
  std::vector<std::string> update_from_config(const config::JobConfig& config) override;
  protocols::ModelSize size_of(const nn::Module& model, std::int64_t seq_len) const override;
  std::string to_json() const override;
  std::int64_t vocab_size() const override { return vocabulary; }
  std::vector<std::string> tensor_parallel_problems(std::int64_t degree) const override;
  std::vector<std::string> expert_parallel_problems(std::int64_t degree) const override;
  bool allows_cut_texts() const override { return true; }
};

/// All flavors by name: debugmodel and its variant with attention within documents, 16B, 236B, 671B, and one sized for CPUs
/// (tiny).
std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> flavors();

}  // namespace titan::models::deepseek_v3
