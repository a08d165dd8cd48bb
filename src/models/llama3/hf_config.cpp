#include <nlohmann/json.hpp>

#include "titan/base/errors.h"
#include "titan/models/llama3/state_dict_adapter.h"
#include "titan/protocols/hf_config.h"

namespace titan::models::llama3 {

namespace {

void compare_rope(const protocols::HfConfig& config, const TransformerModelArgs& args,
                  std::vector<std::string>& differences) {
  const protocols::HfRope rope(config);
  config.compare(rope.theta, args.rope_theta, 10000, differences);
  const nn::RopeScaling& ours = args.rope_scaling;
  if (rope.type != "llama3") {
    if (rope.type == "default" && ours.scaling_factor == 1.0) return;
    differences.push_back(concat("the rope scaling is \"", rope.type,
                                 "\", in this model \"llama3\" with factor ", ours.scaling_factor));
    return;
  }
  const auto compare = [&](const char* field, double value) {
    config.compare(rope.scaling + field, value, std::nullopt, differences);
  };
  compare(".factor", ours.scaling_factor);
  compare(".low_freq_factor", ours.low_freq_factor);
  compare(".high_freq_factor", ours.high_freq_factor);
  compare(".original_max_position_embeddings",
          static_cast<double>(ours.original_max_position_embeddings));
}

}  // namespace

protocols::ConfigDifferences LlamaStateDictAdapter::compare_config(
    const std::string& config_json) const {
  const protocols::HfConfig config(config_json);
  protocols::ConfigDifferences result;
  const auto must_be = [&](const char* field, std::int64_t ours,
                           std::optional<double> fallback = std::nullopt) {
    config.compare(field, static_cast<double>(ours), fallback, result.errors);
  };
  must_be("hidden_size", args_.dim);
  must_be("num_hidden_layers", args_.n_layers);
  must_be("num_attention_heads", args_.n_heads);
  must_be("num_key_value_heads", args_.kv_heads(), static_cast<double>(args_.n_heads));
  must_be("head_dim", head_dim_);
  must_be("intermediate_size", args_.ffn_hidden_dim());
  must_be("vocab_size", args_.vocabulary);
  config.compare_text("hidden_act", "silu", result.errors);
  config.compare_absent("attention_bias", result.errors);
  config.compare_absent("mlp_bias", result.errors);
  config.compare_text("model_type", "llama", result.warnings);
  config.compare("rms_norm_eps", args_.norm_eps, 1e-6, result.warnings);
  compare_rope(config, args_, result.warnings);
  return result;
}

std::string LlamaStateDictAdapter::hf_config(const std::string& torch_dtype, bool tied) const {
  const nn::RopeScaling& scaling = args_.rope_scaling;
  const nlohmann::ordered_json json = {
      {"architectures", {"LlamaForCausalLM"}},
      {"model_type", "llama"},
      {"hidden_size", args_.dim},
      {"intermediate_size", args_.ffn_hidden_dim()},
      {"num_hidden_layers", args_.n_layers},
      {"num_attention_heads", args_.n_heads},
      {"num_key_value_heads", args_.kv_heads()},
      {"head_dim", head_dim_},
      {"vocab_size", args_.vocabulary},
      {"max_position_embeddings", args_.max_seq_len},
      {"hidden_act", "silu"},
      {"rms_norm_eps", args_.norm_eps},
      {"rope_theta", args_.rope_theta},
      {"rope_scaling",
       {{"rope_type", "llama3"},
        {"factor", scaling.scaling_factor},
        {"low_freq_factor", scaling.low_freq_factor},
        {"high_freq_factor", scaling.high_freq_factor},
        {"original_max_position_embeddings", scaling.original_max_position_embeddings}}},
      {"attention_bias", false},
      {"attention_dropout", 0.0},
      {"mlp_bias", false},
      {"tie_word_embeddings", tied},
      // Which tokens begin and end a text is the tokenizer's affair; the library's defaults would be wrong.
      {"bos_token_id", nullptr},
      {"eos_token_id", nullptr},
      {"torch_dtype", torch_dtype}};
  return json.dump(2) + "\n";
}

}  // namespace titan::models::llama3
