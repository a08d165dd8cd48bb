#include <nlohmann/json.hpp>

#include "titan/base/errors.h"
#include "titan/models/llama4/state_dict_adapter.h"
#include "titan/protocols/hf_config.h"

namespace titan::models::llama4 {

namespace {

using protocols::HfConfig;

/// 1 for each layer that rotates.
std::vector<std::int64_t> rotating_layers(const TransformerModelArgs& args) {
  std::vector<std::int64_t> result;
  for (std::int64_t layer = 0; layer < args.n_layers; ++layer) {
    result.push_back(args.rotates(layer) ? 1 : 0);
  }
  return result;
}

std::vector<std::int64_t> expert_layers(const TransformerModelArgs& args) {
  std::vector<std::int64_t> result;
  for (std::int64_t layer = 0; layer < args.n_layers; ++layer) {
    if (args.has_experts(layer)) result.push_back(layer);
  }
  return result;
}

void compare_rope(const HfConfig& config, const TransformerModelArgs& args,
                  std::vector<std::string>& differences) {
  const protocols::HfRope rope(config);
  config.compare(rope.theta, args.rope_theta, 500000, differences);
  const std::string ours = args.rope_scaling ? "llama3" : "default";
  if (rope.type != ours) {
    differences.push_back(
        concat("the rope scaling is \"", rope.type, "\", in this model \"", ours, "\""));
    return;
  }
  if (!args.rope_scaling) return;
  const auto compare = [&](const char* field, double value) {
    config.compare(rope.scaling + field, value, std::nullopt, differences);
  };
  compare(".factor", args.rope_scaling->scaling_factor);
  compare(".low_freq_factor", args.rope_scaling->low_freq_factor);
  compare(".high_freq_factor", args.rope_scaling->high_freq_factor);
  compare(".original_max_position_embeddings",
          static_cast<double>(args.rope_scaling->original_max_position_embeddings));
}

}  // namespace

protocols::ConfigDifferences Llama4StateDictAdapter::compare_config(
    const std::string& config_json) const {
  const HfConfig whole(config_json);
  // A model that also sees has the text model's config within its own.
  const auto inner = whole.inside("text_config");
  const HfConfig& config = inner ? *inner : whole;
  protocols::ConfigDifferences result;
  const auto must_be = [&](const char* field, std::int64_t ours,
                           std::optional<double> fallback = std::nullopt) {
    config.compare(field, static_cast<double>(ours), fallback, result.errors);
  };
  must_be("hidden_size", args_.dim);
  must_be("num_hidden_layers", args_.n_layers);
  must_be("num_attention_heads", args_.n_heads);
  must_be("num_key_value_heads", args_.kv_heads(), 8);
  must_be("head_dim", args_.head_dim());
  must_be("intermediate_size", args_.expert_hidden_dim());
  must_be("intermediate_size_mlp", args_.ffn_hidden_dim());
  must_be("num_local_experts", args_.moe.num_experts, 16);
  must_be("num_experts_per_tok", args_.moe.top_k, 1);
  must_be("vocab_size", args_.vocabulary);
  config.compare_list("moe_layers", expert_layers(args_), result.errors);
  config.compare_text("hidden_act", "silu", result.errors);
  config.compare_absent("attention_bias", result.errors);
  config.compare_text("model_type", "llama4_text", result.errors);
  config.compare("rms_norm_eps", args_.norm_eps, 1e-5, result.warnings);
  config.compare_list("no_rope_layers", rotating_layers(args_), result.warnings);
  if (args_.document_mask) {
    config.compare("attention_chunk_size", static_cast<double>(args_.fixed_attn_block_size), 8192,
                   result.warnings);
  }
  config.compare_flag("use_qk_norm", false, /*fallback=*/true, result.warnings);
  config.compare_flag("attn_temperature_tuning", false, /*fallback=*/true, result.warnings);
  compare_rope(config, args_, result.warnings);
  return result;
}

std::string Llama4StateDictAdapter::hf_config(const std::string& torch_dtype, bool tied) const {
  nlohmann::ordered_json json = {
      {"architectures", {"Llama4ForCausalLM"}},
      {"model_type", "llama4_text"},
      {"hidden_size", args_.dim},
      {"intermediate_size", args_.expert_hidden_dim()},
      {"intermediate_size_mlp", args_.ffn_hidden_dim()},
      {"num_hidden_layers", args_.n_layers},
      {"num_attention_heads", args_.n_heads},
      {"num_key_value_heads", args_.kv_heads()},
      {"head_dim", args_.head_dim()},
      {"vocab_size", args_.vocabulary},
      {"max_position_embeddings", args_.max_seq_len},
      {"hidden_act", "silu"},
      {"rms_norm_eps", args_.norm_eps},
      {"num_local_experts", args_.moe.num_experts},
      {"num_experts_per_tok", args_.moe.top_k},
      {"interleave_moe_layer_step", args_.interleave_moe_layer_step},
      {"moe_layers", expert_layers(args_)},
      {"no_rope_layers", rotating_layers(args_)},
      // Without documents nothing is confined to blocks: one block holds every position.
      {"attention_chunk_size",
       args_.document_mask ? args_.fixed_attn_block_size : args_.max_seq_len},
      {"use_qk_norm", false},
      {"attn_temperature_tuning", false},
      {"rope_theta", args_.rope_theta},
      {"rope_scaling", nullptr},
      {"attention_bias", false},
      {"attention_dropout", 0.0},
      {"tie_word_embeddings", tied},
      // Which tokens begin and end a text is the tokenizer's affair; the library's defaults would be wrong.
      {"bos_token_id", nullptr},
      {"eos_token_id", nullptr},
      {"torch_dtype", torch_dtype}};
  if (args_.rope_scaling) {
    json["rope_scaling"] = {
        {"rope_type", "llama3"},
        {"factor", args_.rope_scaling->scaling_factor},
        {"low_freq_factor", args_.rope_scaling->low_freq_factor},
        {"high_freq_factor", args_.rope_scaling->high_freq_factor},
        {"original_max_position_embeddings", args_.rope_scaling->original_max_position_embeddings}};
  }
  return json.dump(2) + "\n";
}

}  // namespace titan::models::llama4
