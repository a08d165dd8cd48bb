#include "titan/models/deepseek_v3/state_dict_adapter.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <string_view>

#include "titan/base/errors.h"
#include "titan/protocols/hf_config.h"

namespace titan::models::deepseek_v3 {

namespace {

using protocols::NameRule;

const std::vector<NameRule>& rules() {
  static const std::vector<NameRule> kRules = {
      {"model.embed_tokens.weight", "tok_embeddings.weight"},
      {"model.layers.{}.self_attn.q_proj.weight", "layers.{}.attention.wq.weight"},
      {"model.layers.{}.self_attn.q_a_proj.weight", "layers.{}.attention.wq_a.weight"},
      {"model.layers.{}.self_attn.q_a_layernorm.weight", "layers.{}.attention.q_norm.weight"},
      {"model.layers.{}.self_attn.q_b_proj.weight", "layers.{}.attention.wq_b.weight"},
      {"model.layers.{}.self_attn.kv_a_proj_with_mqa.weight", "layers.{}.attention.wkv_a.weight"},
      {"model.layers.{}.self_attn.kv_a_layernorm.weight", "layers.{}.attention.kv_norm.weight"},
      {"model.layers.{}.self_attn.kv_b_proj.weight", "layers.{}.attention.wkv_b.weight"},
      {"model.layers.{}.self_attn.o_proj.weight", "layers.{}.attention.wo.weight"},
      {"model.layers.{}.self_attn.rotary_emb.inv_freq", ""},
      {"model.layers.{}.input_layernorm.weight", "layers.{}.attention_norm.weight"},
      {"model.layers.{}.post_attention_layernorm.weight", "layers.{}.ffn_norm.weight"},
      {"model.layers.{}.mlp.gate_proj.weight", "layers.{}.feed_forward.w1.weight"},
      {"model.layers.{}.mlp.down_proj.weight", "layers.{}.feed_forward.w2.weight"},
      {"model.layers.{}.mlp.up_proj.weight", "layers.{}.feed_forward.w3.weight"},
      {"model.layers.{}.mlp.experts.{}.gate_proj.weight", "layers.{}.moe.experts.w1"},
      {"model.layers.{}.mlp.experts.{}.down_proj.weight", "layers.{}.moe.experts.w2"},
      {"model.layers.{}.mlp.experts.{}.up_proj.weight", "layers.{}.moe.experts.w3"},
      {"model.layers.{}.mlp.gate.weight", "layers.{}.moe.router.gate.weight"},
      {"model.layers.{}.mlp.gate.e_score_correction_bias", "layers.{}.moe.expert_bias"},
      {"model.layers.{}.mlp.shared_experts.gate_proj.weight",
       "layers.{}.moe.shared_experts.w1.weight"},
      {"model.layers.{}.mlp.shared_experts.down_proj.weight",
       "layers.{}.moe.shared_experts.w2.weight"},
      {"model.layers.{}.mlp.shared_experts.up_proj.weight",
       "layers.{}.moe.shared_experts.w3.weight"},
      {"model.norm.weight", "norm.weight"},
      {"lm_head.weight", "output.weight"},
  };
  return kRules;
}

double as_number(std::int64_t value) { return static_cast<double>(value); }

}  // namespace

DeepSeekV3StateDictAdapter::DeepSeekV3StateDictAdapter(const DeepSeekV3ModelArgs& args)
    : NameTableAdapter("DeepSeek V3", rules(), /*tied=*/false), args_(args) {}

bool DeepSeekV3StateDictAdapter::is_ignored(const std::string& hf_name) const {
  constexpr std::string_view kLayers = "model.layers.";
  std::int64_t layer = 0;
  if (hf_name.starts_with(kLayers) &&
      std::from_chars(hf_name.data() + kLayers.size(), hf_name.data() + hf_name.size(), layer).ec ==
          std::errc() &&
      layer >= args_.n_layers) {
    return true;
  }
  return NameTableAdapter::is_ignored(hf_name);
}

void DeepSeekV3StateDictAdapter::compare_rope(const std::string& config_json,
                                              std::vector<std::string>& differences) const {
  const protocols::HfConfig config(config_json);
  const protocols::HfRope rope(config);
  config.compare(rope.theta, args_.rope_theta, 10000, differences);
  const bool is_yarn = rope.type == "yarn" || rope.type == "deepseek_yarn";
  if (is_yarn != is_stretched()) {
    differences.push_back(concat("the rope scaling is \"", rope.type, "\", in this model ",
                                 is_stretched() ? "\"yarn\"" : "there is none", ", with ",
                                 args_.max_seq_len, " positions (training.seq_len)"));
  }
  if (!is_yarn) return;
  const std::string in = rope.scaling + ".";
  config.compare(in + "factor", args_.yarn.factor, std::nullopt, differences);
  config.compare(in + "beta_fast", args_.yarn.beta_fast, 32, differences);
  config.compare(in + "beta_slow", args_.yarn.beta_slow, 1, differences);
  config.compare(in + "mscale_all_dim", args_.mscale, std::nullopt, differences);
  config.compare(in + "original_max_position_embeddings", as_number(args_.yarn.original_seq_len),
                 std::nullopt, differences);
}

protocols::ConfigDifferences DeepSeekV3StateDictAdapter::compare_config(
    const std::string& config_json) const {
  const protocols::HfConfig config(config_json);
  protocols::ConfigDifferences result;
  const auto whole = [&](const char* field, std::int64_t ours,
                         std::optional<std::int64_t> fallback = std::nullopt) {
    config.compare(field, as_number(ours),
                   fallback ? std::optional(as_number(*fallback)) : std::nullopt, result.errors);
  };
  const nn::MoEArgs& moe = args_.moe;
  whole("hidden_size", args_.dim);
  whole("num_hidden_layers", args_.n_layers);
  whole("num_attention_heads", args_.n_heads);
  whole("intermediate_size", args_.inter_dim);
  whole("moe_intermediate_size", args_.moe_inter_dim);
  whole("first_k_dense_replace", args_.n_dense_layers);
  whole("vocab_size", args_.vocabulary);
  whole("q_lora_rank", args_.q_lora_rank, 0);
  whole("kv_lora_rank", args_.kv_lora_rank);
  whole("qk_nope_head_dim", args_.qk_nope_head_dim);
  whole("qk_rope_head_dim", args_.qk_rope_head_dim);
  whole("v_head_dim", args_.v_head_dim);
  whole("n_routed_experts", moe.num_experts);
  whole("n_shared_experts", moe.num_shared_experts, 0);
  whole("num_experts_per_tok", moe.top_k);
  whole("n_group", moe.num_expert_groups.value_or(1), 1);
  whole("topk_group", moe.num_limited_groups.value_or(1), 1);
  config.compare_text("hidden_act", "silu", result.errors);
  config.compare_absent("attention_bias", result.errors);
  config.compare_text("model_type", "deepseek_v3", result.warnings);
  config.compare_text("scoring_func",
                      moe.score_func == nn::ScoreFunction::kSigmoid ? "sigmoid" : "softmax",
                      result.warnings);
  config.compare_flag("norm_topk_prob", moe.route_norm, true, result.warnings);
  config.compare("routed_scaling_factor", moe.route_scale, std::nullopt, result.warnings);
  config.compare("rms_norm_eps", args_.norm_eps, 1e-6, result.warnings);
  compare_rope(config_json, result.warnings);
  return result;
}

std::string DeepSeekV3StateDictAdapter::hf_config(const std::string& torch_dtype, bool tied) const {
  const nn::MoEArgs& moe = args_.moe;
  if (moe.score_func != nn::ScoreFunction::kSigmoid || moe.num_shared_experts == 0) return {};
  nlohmann::ordered_json rope = {{"rope_type", "default"}, {"rope_theta", args_.rope_theta}};
  if (is_stretched()) {
    rope["rope_type"] = "yarn";
    rope["factor"] = args_.yarn.factor;
    rope["beta_fast"] = args_.yarn.beta_fast;
    rope["beta_slow"] = args_.yarn.beta_slow;
    rope["mscale"] = args_.mscale;
    rope["mscale_all_dim"] = args_.mscale;
    rope["original_max_position_embeddings"] = args_.yarn.original_seq_len;
  }
  const nlohmann::ordered_json latent_queries = args_.q_lora_rank == 0
                                                    ? nlohmann::ordered_json(nullptr)
                                                    : nlohmann::ordered_json(args_.q_lora_rank);
  const nlohmann::ordered_json json = {
      {"architectures", {"DeepseekV3ForCausalLM"}},
      {"model_type", "deepseek_v3"},
      {"hidden_size", args_.dim},
      {"intermediate_size", args_.inter_dim},
      {"moe_intermediate_size", args_.moe_inter_dim},
      {"num_hidden_layers", args_.n_layers},
      {"first_k_dense_replace", args_.n_dense_layers},
      {"num_nextn_predict_layers", 0},
      {"num_attention_heads", args_.n_heads},
      {"num_key_value_heads", args_.n_heads},
      {"q_lora_rank", latent_queries},
      {"kv_lora_rank", args_.kv_lora_rank},
      {"qk_nope_head_dim", args_.qk_nope_head_dim},
      {"qk_rope_head_dim", args_.qk_rope_head_dim},
      {"v_head_dim", args_.v_head_dim},
      {"n_routed_experts", moe.num_experts},
      {"n_shared_experts", moe.num_shared_experts},
      {"num_experts_per_tok", moe.top_k},
      {"n_group", moe.num_expert_groups.value_or(1)},
      {"topk_group", moe.num_limited_groups.value_or(1)},
      {"scoring_func", "sigmoid"},
      {"topk_method", "noaux_tc"},
      {"norm_topk_prob", moe.route_norm},
      {"routed_scaling_factor", moe.route_scale},
      {"vocab_size", args_.vocabulary},
      {"max_position_embeddings", args_.max_seq_len},
      {"hidden_act", "silu"},
      {"rms_norm_eps", args_.norm_eps},
      {"rope_parameters", rope},
      {"rope_interleave", true},
      {"attention_bias", false},
      {"attention_dropout", 0.0},
      {"tie_word_embeddings", tied},
      // Which tokens begin and end a text is the tokenizer's affair; the library's defaults would be wrong.
      {"bos_token_id", nullptr},
      {"eos_token_id", nullptr},
      {"torch_dtype", torch_dtype}};
  return json.dump(2) + "\n";
}

}  // namespace titan::models::deepseek_v3
