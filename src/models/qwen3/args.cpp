#include "titan/models/qwen3/args.h"

#include <nlohmann/json.hpp>

#include "titan/config/job_config.h"
#include "titan/protocols/decoder_args.h"
#include "titan/protocols/mixture_json.h"

namespace titan::models::qwen3 {

std::unique_ptr<protocols::ModelArgs> Qwen3ModelArgs::clone() const {
  return std::make_unique<Qwen3ModelArgs>(*this);
}

std::vector<std::string> Qwen3ModelArgs::update_from_config(const config::JobConfig& config) {
  moe.force_load_balance = config.debug.moe_force_load_balance;
  return protocols::take_sequence_length(max_seq_len, config.training.seq_len);
}

protocols::ModelSize Qwen3ModelArgs::size_of(const nn::Module& model, std::int64_t seq_len) const {
  return protocols::decoder_size(model,
                                 {.n_layers = n_layers,
                                  .n_heads = n_heads,
                                  .head_dims = 2 * head_dim,
                                  .top_k = moe.top_k,
                                  .num_experts = moe.num_experts,
                                  .tied = enable_weight_tying},
                                 seq_len);
}

std::vector<std::string> Qwen3ModelArgs::tensor_parallel_problems(std::int64_t degree) const {
  return protocols::sharing_problems({n_heads, n_kv_heads, vocabulary}, degree);
}

std::vector<std::string> Qwen3ModelArgs::expert_parallel_problems(std::int64_t degree) const {
  if (!moe_enabled) return ModelArgs::expert_parallel_problems(degree);
  return nn::expert_parallel_problems(moe, degree);
}

std::string Qwen3ModelArgs::to_json() const {
  nlohmann::ordered_json json = {{"dim", dim},
                                 {"n_layers", n_layers},
                                 {"n_heads", n_heads},
                                 {"n_kv_heads", n_kv_heads},
                                 {"vocab_size", vocabulary},
                                 {"head_dim", head_dim},
                                 {"hidden_dim", hidden_dim},
                                 {"norm_eps", norm_eps},
                                 {"rope_theta", rope_theta},
                                 {"qk_norm", qk_norm},
                                 {"max_seq_len", max_seq_len},
                                 {"depth_init", depth_init},
                                 {"attn_type", "sdpa"},
                                 {"attn_mask_type", "causal"},
                                 {"enable_weight_tying", enable_weight_tying},
                                 {"moe_enabled", moe_enabled}};
  if (moe_enabled) {
    json["moe_inter_dim"] = moe_inter_dim;
    json["moe_args"] = protocols::mixture_json(moe);
  }
  return json.dump(2);
}

}  // namespace titan::models::qwen3
