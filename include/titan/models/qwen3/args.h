#pragma once

#include <map>
#include <memory>
#include <string>

#include "titan/nn/moe/args.h"
#include "titan/protocols/model.h"

namespace titan::models::qwen3 {

/// Hyper-parameters of Qwen 3; defaults are those of the 0.6B model's family. Yang et al. 2025.
struct Qwen3ModelArgs : public protocols::ModelArgs {
  std::int64_t dim = 1024;
  std::int64_t n_layers = 28;
  std::int64_t n_heads = 16;
  std::int64_t n_kv_heads = 8;
  std::int64_t vocabulary = 151936;
  /// Width of a head; all heads together need not be as wide as `dim`.
  std::int64_t head_dim = 128;
  /// Width of the feed-forward layers of a dense model.
  std::int64_t hidden_dim = 3072;
  double norm_eps = 1e-6;
  double rope_theta = 1000000;
  /// Queries and keys are normalised head by head.
  bool qk_norm = true;
  std::int64_t max_seq_len = 4096;
  /// Initial output projections shrink with the layer's own depth, else with the total depth.
  bool depth_init = true;
  /// The output layer's weight is the embedding's.
  bool enable_weight_tying = false;
  /// Every layer has experts in the place of a feed-forward layer.
  bool moe_enabled = false;
  /// Width of one expert.
  std::int64_t moe_inter_dim = 768;
  nn::MoEArgs moe;

  std::unique_ptr<protocols::ModelArgs> clone() const override;
  std::vector<std::string> update_from_config(const config::JobConfig& config) override;
  protocols::ModelSize size_of(const nn::Module& model, std::int64_t seq_len) const override;
  std::string to_json() const override;
  std::int64_t vocab_size() const override { return vocabulary; }
  std::vector<std::string> tensor_parallel_problems(std::int64_t degree) const override;
  std::vector<std::string> expert_parallel_problems(std::int64_t degree) const override;
  bool allows_cut_texts() const override { return true; }
};

/// All flavors by name: debugmodel, 0.6B, 1.7B, 4B (tied), 8B, 14B, 32B; with experts debugmodel_moe, 30B-A3B, 235B-A22B; and some
/// sized for CPUs (tiny, tiny_untied, tiny_moe, small, small_moe).
std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> flavors();

}  // namespace titan::models::qwen3
