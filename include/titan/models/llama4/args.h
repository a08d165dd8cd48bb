#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "titan/nn/moe/args.h"
#include "titan/nn/rope.h"
#include "titan/protocols/model.h"

namespace titan::models::llama4 {

/// Hyper-parameters of Llama 4's text models; names and defaults are the reference's. Meta AI 2025.
struct TransformerModelArgs : public protocols::ModelArgs {
  std::int64_t dim = 4096;
  std::int64_t n_layers = 32;
  std::int64_t n_heads = 32;
  /// Key and value heads; unset: as many as query heads.
  std::optional<std::int64_t> n_kv_heads;
  std::int64_t vocabulary = 202048;
  /// Feed-forward widths are rounded up to a multiple of this.
  std::int64_t multiple_of = 256;
  std::optional<double> ffn_dim_multiplier;
  double norm_eps = 1e-5;
  double rope_theta = 10000;
  std::optional<nn::RopeScaling> rope_scaling;
  std::int64_t max_seq_len = 1048576;
  /// Initial output projections shrink with the layer's own depth, else with the total depth.
  bool depth_init = true;
  /// Tokens attend within their document; layers that rotate, also within blocks of `fixed_attn_block_size` tokens (flex attention
  /// in the reference). Else to everything before them (SDPA).
  bool document_mask = false;
  /// Layers 0, n, 2n, ... have no positions (NoPE) and attend to all blocks; unset: there are none.
  std::optional<std::int64_t> every_n_layers_nope;
  std::int64_t fixed_attn_block_size = 8192;

  nn::MoEArgs moe;
  /// The experts that a token passes are together as wide as a dense layer.
  bool auto_scale_hidden_dim = true;
  /// Layers step - 1, 2 · step - 1, ... have experts.
  std::int64_t interleave_moe_layer_step = 2;

  std::int64_t head_dim() const { return dim / n_heads; }
  std::int64_t kv_heads() const { return n_kv_heads.value_or(n_heads); }
  bool has_experts(std::int64_t layer) const {
    return (layer + 1) % interleave_moe_layer_step == 0;
  }
  bool rotates(std::int64_t layer) const {
    return !every_n_layers_nope || layer % *every_n_layers_nope != 0;
  }
  /// Width of dense feed-forward layers.
  std::int64_t ffn_hidden_dim() const;
  /// Width of one expert.
  std::int64_t expert_hidden_dim() const;

  std::unique_ptr<protocols::ModelArgs> clone() const override;
  std::vector<std::string> update_from_config(const config::JobConfig& config) override;
  protocols::ModelSize size_of(const nn::Module& model, std::int64_t seq_len) const override;
  std::string to_json() const override;
  std::int64_t vocab_size() const override { return vocabulary; }
  std::vector<std::string> tensor_parallel_problems(std::int64_t degree) const override;
  std::vector<std::string> expert_parallel_problems(std::int64_t degree) const override;
  bool allows_cut_texts() const override { return true; }
};

/// All flavors by name: debugmodel, 17bx16e, 17bx128e, each also with interleaved attention (_irope), and two sized for CPUs (tiny,
/// tiny_irope).
std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> flavors();

}  // namespace titan::models::llama4
