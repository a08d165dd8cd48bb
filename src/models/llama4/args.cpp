#include "titan/models/llama4/args.h"

#include <nlohmann/json.hpp>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/protocols/decoder_args.h"
#include "titan/protocols/mixture_json.h"

namespace titan::models::llama4 {

namespace {

using Json = nlohmann::ordered_json;

template <class Value>
Json json_or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json json_of(const std::optional<nn::RopeScaling>& scaling) {
  if (!scaling) return nullptr;
  return {{"scaling_factor", scaling->scaling_factor},
          {"low_freq_factor", scaling->low_freq_factor},
          {"high_freq_factor", scaling->high_freq_factor},
          {"original_max_position_embeddings", scaling->original_max_position_embeddings}};
}

std::int64_t rounded_up(std::int64_t size, std::int64_t multiple_of) {
  return multiple_of * ((size + multiple_of - 1) / multiple_of);
}

/// Two thirds of 4 · dim, as the third matrix of SwiGLU asks for.
std::int64_t unrounded_hidden_dim(const TransformerModelArgs& args) {
  const auto hidden = static_cast<std::int64_t>(2.0 * static_cast<double>(4 * args.dim) / 3.0);
  if (!args.ffn_dim_multiplier) return hidden;
  return static_cast<std::int64_t>(*args.ffn_dim_multiplier * static_cast<double>(hidden));
}

}  // namespace

std::int64_t TransformerModelArgs::ffn_hidden_dim() const {
  return rounded_up(unrounded_hidden_dim(*this), multiple_of);
}

std::int64_t TransformerModelArgs::expert_hidden_dim() const {
  const std::int64_t together = moe.top_k + moe.num_shared_experts;
  return rounded_up(unrounded_hidden_dim(*this) / (auto_scale_hidden_dim ? together : 1),
                    multiple_of);
}

std::unique_ptr<protocols::ModelArgs> TransformerModelArgs::clone() const {
  return std::make_unique<TransformerModelArgs>(*this);
}

std::vector<std::string> TransformerModelArgs::update_from_config(const config::JobConfig& config) {
  if (every_n_layers_nope && *every_n_layers_nope <= 1) {
    throw ConfigError("every_n_layers_nope must be greater than 1");
  }
  moe.force_load_balance = config.debug.moe_force_load_balance;
  return protocols::take_sequence_length(max_seq_len, config.training.seq_len);
}

protocols::ModelSize TransformerModelArgs::size_of(const nn::Module& model,
                                                   std::int64_t seq_len) const {
  return protocols::decoder_size(model,
                                 {.n_layers = n_layers,
                                  .n_heads = n_heads,
                                  .head_dims = 2 * head_dim(),
                                  .top_k = moe.top_k,
                                  .num_experts = moe.num_experts},
                                 seq_len);
}

std::vector<std::string> TransformerModelArgs::tensor_parallel_problems(std::int64_t degree) const {
  return protocols::sharing_problems({n_heads, kv_heads(), vocabulary}, degree);
}

std::vector<std::string> TransformerModelArgs::expert_parallel_problems(std::int64_t degree) const {
  return nn::expert_parallel_problems(moe, degree);
}

std::string TransformerModelArgs::to_json() const {
  const Json json = {{"dim", dim},
                     {"n_layers", n_layers},
                     {"n_heads", n_heads},
                     {"n_kv_heads", json_or_null(n_kv_heads)},
                     {"vocab_size", vocabulary},
                     {"multiple_of", multiple_of},
                     {"ffn_dim_multiplier", json_or_null(ffn_dim_multiplier)},
                     {"norm_eps", norm_eps},
                     {"rope_theta", rope_theta},
                     {"rope_scaling_args", json_of(rope_scaling)},
                     {"max_seq_len", max_seq_len},
                     {"depth_init", depth_init},
                     {"attn_type", document_mask ? "flex" : "sdpa"},
                     {"attn_mask_type", document_mask ? "block_causal" : "causal"},
                     {"every_n_layers_nope", json_or_null(every_n_layers_nope)},
                     {"fixed_attn_block_size", fixed_attn_block_size},
                     {"moe_args", protocols::mixture_json(moe)},
                     {"auto_scale_hidden_dim", auto_scale_hidden_dim},
                     {"interleave_moe_layer_step", interleave_moe_layer_step}};
  return json.dump(2);
}

}  // namespace titan::models::llama4
