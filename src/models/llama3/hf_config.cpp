#include <cmath>
#include <nlohmann/json.hpp>

#include "titan/base/errors.h"
#include "titan/models/llama3/state_dict_adapter.h"

namespace titan::models::llama3 {

namespace {

using Json = nlohmann::json;

Json parse(const std::string& text) {
  const auto limit_depth = [](int depth, Json::parse_event_t, Json&) {
    if (depth > 16) throw RunError("it is nested too deeply");
    return true;
  };
  try {
    Json json = Json::parse(text, limit_depth);
    if (json.is_object()) return json;
  } catch (const Json::exception&) {
    // Told below.
  }
  throw RunError("it is not a JSON object");
}

/// Compares fields of Hugging Face's config with what they are in ours and writes the differences down.
class Comparison {
 public:
  explicit Comparison(const Json& config) : config_(config) {}

  /// `fallback`: what the field means where it is missing or null.
  void whole(const char* field, std::int64_t ours, std::optional<std::int64_t> fallback,
             std::vector<std::string>& differences) const {
    number(config_, field, "", static_cast<double>(ours),
           fallback ? std::optional<double>(*fallback) : std::nullopt, differences);
  }

  static void number(const Json& config, const char* field, const std::string& prefix, double ours,
                     std::optional<double> fallback, std::vector<std::string>& differences) {
    const auto found = config.find(field);
    const bool is_there = found != config.end() && !found->is_null();
    if (!is_there && !fallback) return;
    if (is_there && !found->is_number()) {
      differences.push_back(prefix + field + " is no number");
      return;
    }
    const double theirs = is_there ? found->get<double>() : *fallback;
    if (std::abs(theirs - ours) > 1e-9 * std::abs(ours)) {
      differences.push_back(concat(prefix, field, " is ", theirs, is_there ? "" : " (not said)",
                                   ", in this model ", ours));
    }
  }

  void text(const char* field, const std::string& expected,
            std::vector<std::string>& differences) const {
    const auto found = config_.find(field);
    if (found == config_.end() || found->is_null() || *found == expected) return;
    differences.push_back(
        concat(field, " is ", found->dump(-1, ' ', true), ", in this model \"", expected, "\""));
  }

  void absent(const char* field, std::vector<std::string>& differences) const {
    const auto found = config_.find(field);
    if (found == config_.end() || !found->is_boolean() || !found->get<bool>()) return;
    differences.push_back(concat(field, " is true; this model has none"));
  }

 private:
  const Json& config_;
};

const Json* object_at(const Json& json, const char* field) {
  const auto found = json.find(field);
  return found != json.end() && found->is_object() ? &*found : nullptr;
}

/// Since version 5 `transformers` has all of it in "rope_parameters", before in "rope_theta" and
/// "rope_scaling".
void compare_rope(const Json& config, const TransformerModelArgs& args,
                  std::vector<std::string>& differences) {
  const Json* parameters = object_at(config, "rope_parameters");
  const Json* scaling = parameters != nullptr ? parameters : object_at(config, "rope_scaling");
  const Json& theta_at =
      parameters != nullptr && parameters->contains("rope_theta") ? *parameters : config;
  Comparison::number(theta_at, "rope_theta", "", args.rope_theta, 10000, differences);

  std::string type = "default";
  for (const char* field : {"type", "rope_type"}) {
    if (scaling != nullptr && scaling->contains(field) && (*scaling)[field].is_string()) {
      type = (*scaling)[field].get<std::string>();
    }
  }
  const nn::RopeScaling& ours = args.rope_scaling;
  if (type != "llama3") {
    if (type == "default" && ours.scaling_factor == 1.0) return;
    differences.push_back(concat("the rope scaling is \"", type,
                                 "\", in this model \"llama3\" with factor ", ours.scaling_factor));
    return;
  }
  const std::string prefix = "rope scaling's ";
  Comparison::number(*scaling, "factor", prefix, ours.scaling_factor, std::nullopt, differences);
  Comparison::number(*scaling, "low_freq_factor", prefix, ours.low_freq_factor, std::nullopt,
                     differences);
  Comparison::number(*scaling, "high_freq_factor", prefix, ours.high_freq_factor, std::nullopt,
                     differences);
  Comparison::number(*scaling, "original_max_position_embeddings", prefix,
                     static_cast<double>(ours.original_max_position_embeddings), std::nullopt,
                     differences);
}

}  // namespace

protocols::ConfigDifferences LlamaStateDictAdapter::compare_config(
    const std::string& config_json) const {
  const Json config = parse(config_json);
  const Comparison compare(config);
  protocols::ConfigDifferences result;
  const std::int64_t heads = args_.n_heads;
  compare.whole("hidden_size", args_.dim, std::nullopt, result.errors);
  compare.whole("num_hidden_layers", args_.n_layers, std::nullopt, result.errors);
  compare.whole("num_attention_heads", heads, std::nullopt, result.errors);
  compare.whole("num_key_value_heads", args_.kv_heads(), heads, result.errors);
  compare.whole("head_dim", head_dim_, head_dim_, result.errors);
  compare.whole("intermediate_size", args_.ffn_hidden_dim(), std::nullopt, result.errors);
  compare.whole("vocab_size", args_.vocabulary, std::nullopt, result.errors);
  compare.text("hidden_act", "silu", result.errors);
  compare.absent("attention_bias", result.errors);
  compare.absent("mlp_bias", result.errors);
  compare.text("model_type", "llama", result.warnings);
  Comparison::number(config, "rms_norm_eps", "", args_.norm_eps, 1e-6, result.warnings);
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
