#include "titan/models/qwen3/state_dict_adapter.h"

#include <nlohmann/json.hpp>

#include "titan/protocols/hf_config.h"

namespace titan::models::qwen3 {

namespace {

const std::vector<protocols::NameRule>& rules() {
  static const std::vector<protocols::NameRule> kRules = {
      {"model.embed_tokens.weight", "tok_embeddings.weight"},
      {"model.layers.{}.self_attn.q_proj.weight", "layers.{}.attention.wq.weight"},
      {"model.layers.{}.self_attn.k_proj.weight", "layers.{}.attention.wk.weight"},
      {"model.layers.{}.self_attn.v_proj.weight", "layers.{}.attention.wv.weight"},
      {"model.layers.{}.self_attn.o_proj.weight", "layers.{}.attention.wo.weight"},
      {"model.layers.{}.self_attn.q_norm.weight", "layers.{}.attention.q_norm.weight"},
      {"model.layers.{}.self_attn.k_norm.weight", "layers.{}.attention.k_norm.weight"},
      {"model.layers.{}.mlp.gate_proj.weight", "layers.{}.feed_forward.w1.weight"},
      {"model.layers.{}.mlp.down_proj.weight", "layers.{}.feed_forward.w2.weight"},
      {"model.layers.{}.mlp.up_proj.weight", "layers.{}.feed_forward.w3.weight"},
      {"model.layers.{}.mlp.experts.{}.gate_proj.weight", "layers.{}.moe.experts.w1"},
      {"model.layers.{}.mlp.experts.{}.down_proj.weight", "layers.{}.moe.experts.w2"},
      {"model.layers.{}.mlp.experts.{}.up_proj.weight", "layers.{}.moe.experts.w3"},
      {"model.layers.{}.mlp.gate.weight", "layers.{}.moe.router.gate.weight"},
      {"", "layers.{}.moe.expert_bias"},
      {"model.layers.{}.input_layernorm.weight", "layers.{}.attention_norm.weight"},
      {"model.layers.{}.post_attention_layernorm.weight", "layers.{}.ffn_norm.weight"},
      {"model.norm.weight", "norm.weight"},
      {"lm_head.weight", "output.weight"},
      {"model.layers.{}.self_attn.rotary_emb.inv_freq", ""},
      {"model.rotary_emb.inv_freq", ""},
  };
  return kRules;
}

}  // namespace

Qwen3StateDictAdapter::Qwen3StateDictAdapter(const Qwen3ModelArgs& args)
    : NameTableAdapter("Qwen 3", rules(), args.enable_weight_tying), args_(args) {}

protocols::ConfigDifferences Qwen3StateDictAdapter::compare_config(
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
  must_be("num_key_value_heads", args_.n_kv_heads, 32);
  must_be("head_dim", args_.head_dim, 128);
  if (args_.moe_enabled) {
    must_be("moe_intermediate_size", args_.moe_inter_dim);
    must_be("num_experts", args_.moe.num_experts);
    must_be("num_experts_per_tok", args_.moe.top_k, 8);
    must_be("decoder_sparse_step", 1, 1);
    config.compare_list("mlp_only_layers", {}, result.errors);
    config.compare_flag("norm_topk_prob", args_.moe.route_norm, /*fallback=*/false,
                        result.warnings);
  } else {
    must_be("intermediate_size", args_.hidden_dim);
  }
  must_be("vocab_size", args_.vocabulary);
  config.compare_text("hidden_act", "silu", result.errors);
  config.compare_absent("attention_bias", result.errors);
  if (args_.enable_weight_tying) {
    config.compare_flag("tie_word_embeddings", true, /*fallback=*/false, result.errors);
  }
  config.compare_text("model_type", args_.moe_enabled ? "qwen3_moe" : "qwen3", result.errors);
  config.compare("rms_norm_eps", args_.norm_eps, 1e-6, result.warnings);
  const protocols::HfRope rope(config);
  config.compare(rope.theta, args_.rope_theta, 10000, result.warnings);
  if (rope.type != "default") {
    result.warnings.push_back("the rope scaling is \"" + rope.type + "\"; this model has none");
  }
  config.compare_absent("use_sliding_window", result.warnings);
  return result;
}

std::string Qwen3StateDictAdapter::hf_config(const std::string& torch_dtype, bool tied) const {
  const bool moe = args_.moe_enabled;
  nlohmann::ordered_json json = {
      {"architectures", {moe ? "Qwen3MoeForCausalLM" : "Qwen3ForCausalLM"}},
      {"model_type", moe ? "qwen3_moe" : "qwen3"},
      {"hidden_size", args_.dim},
      {"intermediate_size", args_.hidden_dim},
      {"num_hidden_layers", args_.n_layers},
      {"num_attention_heads", args_.n_heads},
      {"num_key_value_heads", args_.n_kv_heads},
      {"head_dim", args_.head_dim},
      {"vocab_size", args_.vocabulary},
      {"max_position_embeddings", args_.max_seq_len},
      {"hidden_act", "silu"},
      {"rms_norm_eps", args_.norm_eps},
      {"rope_theta", args_.rope_theta},
      {"rope_scaling", nullptr},
      {"attention_bias", false},
      {"attention_dropout", 0.0},
      {"use_sliding_window", false},
      {"tie_word_embeddings", tied},
      // Which tokens begin and end a text is the tokenizer's affair; the library's defaults would be wrong.
      {"bos_token_id", nullptr},
      {"eos_token_id", nullptr},
      {"torch_dtype", torch_dtype}};
  if (moe) {
    json["moe_intermediate_size"] = args_.moe_inter_dim;
    json["num_experts"] = args_.moe.num_experts;
    json["num_experts_per_tok"] = args_.moe.top_k;
    json["norm_topk_prob"] = args_.moe.route_norm;
    json["decoder_sparse_step"] = 1;
    json["mlp_only_layers"] = nlohmann::ordered_json::array();
    json["output_router_logits"] = false;
  }
  return json.dump(2) + "\n";
}

}  // namespace titan::models::qwen3
