#include "titan/models/llama3/args.h"

#include <nlohmann/json.hpp>

#include "titan/config/job_config.h"
#include "titan/protocols/decoder_args.h"

namespace titan::models::llama3 {

namespace {

template <class Value>
nlohmann::ordered_json json_or_null(const std::optional<Value>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

const char* name_of(AttentionType type) {
  switch (type) {
    case AttentionType::kSdpa:
      return "sdpa";
    case AttentionType::kFlex:
      return "flex";
    case AttentionType::kVarlen:
      return "varlen";
  }
  return "";
}

}  // namespace

std::int64_t TransformerModelArgs::ffn_hidden_dim() const {
  auto hidden = static_cast<std::int64_t>(2.0 * static_cast<double>(4 * dim) / 3.0);
  if (ffn_dim_multiplier) {
    hidden = static_cast<std::int64_t>(*ffn_dim_multiplier * static_cast<double>(hidden));
  }
  return multiple_of * ((hidden + multiple_of - 1) / multiple_of);
}

std::unique_ptr<protocols::ModelArgs> TransformerModelArgs::clone() const {
  return std::make_unique<TransformerModelArgs>(*this);
}

std::vector<std::string> TransformerModelArgs::update_from_config(const config::JobConfig& config) {
  return protocols::take_sequence_length(max_seq_len, config.training.seq_len);
}

protocols::ModelSize TransformerModelArgs::size_of(const nn::Module& model,
                                                   std::int64_t seq_len) const {
  return protocols::decoder_size(model,
                                 {.n_layers = n_layers,
                                  .n_heads = n_heads,
                                  .head_dims = 2 * (dim / n_heads),
                                  .tied = enable_weight_tying},
                                 seq_len);
}

std::vector<std::string> TransformerModelArgs::tensor_parallel_problems(std::int64_t degree) const {
  return protocols::sharing_problems({n_heads, kv_heads(), vocabulary}, degree);
}

std::string TransformerModelArgs::to_json() const {
  const bool block_causal = attn_mask_type == AttentionMaskType::kBlockCausal;
  const nlohmann::ordered_json json = {
      {"dim", dim},
      {"n_layers", n_layers},
      {"n_heads", n_heads},
      {"n_kv_heads", json_or_null(n_kv_heads)},
      {"vocab_size", vocabulary},
      {"multiple_of", multiple_of},
      {"ffn_dim_multiplier", json_or_null(ffn_dim_multiplier)},
      {"norm_eps", norm_eps},
      {"rope_theta", rope_theta},
      {"rope_scaling_args",
       {{"scaling_factor", rope_scaling.scaling_factor},
        {"low_freq_factor", rope_scaling.low_freq_factor},
        {"high_freq_factor", rope_scaling.high_freq_factor},
        {"original_max_position_embeddings", rope_scaling.original_max_position_embeddings}}},
      {"max_seq_len", max_seq_len},
      {"depth_init", depth_init},
      {"attn_type", name_of(attn_type)},
      {"attn_mask_type", block_causal ? "block_causal" : "causal"},
      {"enable_weight_tying", enable_weight_tying}};
  return json.dump(2);
}

}  // namespace titan::models::llama3
