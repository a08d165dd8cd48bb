#include "titan/models/deepseek_v3/args.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/protocols/decoder_args.h"
#include "titan/protocols/mixture_json.h"

namespace titan::models::deepseek_v3 {

double DeepSeekV3ModelArgs::softmax_scale() const {
  const double scale = std::pow(static_cast<double>(qk_head_dim()), -0.5);
  if (max_seq_len <= yarn.original_seq_len) return scale;
  const double stretch = 0.1 * mscale * std::log(yarn.factor) + 1.0;
  return scale * stretch * stretch;
}

std::unique_ptr<protocols::ModelArgs> DeepSeekV3ModelArgs::clone() const {
  return std::make_unique<DeepSeekV3ModelArgs>(*this);
}

std::vector<std::string> DeepSeekV3ModelArgs::update_from_config(const config::JobConfig& config) {
  moe.force_load_balance = config.debug.moe_force_load_balance;
  return protocols::take_sequence_length(max_seq_len, config.training.seq_len);
}

protocols::ModelSize DeepSeekV3ModelArgs::size_of(const nn::Module& model,
                                                  std::int64_t seq_len) const {
  return protocols::decoder_size(model,
                                 {.n_layers = n_layers,
                                  .n_heads = n_heads,
                                  .head_dims = qk_head_dim() + v_head_dim,
                                  .top_k = moe.top_k,
                                  .num_experts = moe.num_experts},
                                 seq_len);
}

std::vector<std::string> DeepSeekV3ModelArgs::tensor_parallel_problems(std::int64_t degree) const {
  std::vector<std::string> problems;
  if (n_heads % degree != 0) {
    problems.push_back(concat("its ", n_heads, " heads do not divide among ", degree, " ranks"));
  }
  if (vocabulary < degree) {
    problems.push_back(
        concat("its vocabulary of ", vocabulary, " is smaller than the ", degree, " ranks"));
  }
  return problems;
}

std::vector<std::string> DeepSeekV3ModelArgs::expert_parallel_problems(std::int64_t degree) const {
  return nn::expert_parallel_problems(moe, degree);
}

std::string DeepSeekV3ModelArgs::to_json() const {
  const bool block_causal = attn_mask_type == AttentionMaskType::kBlockCausal;
  const nlohmann::ordered_json json = {{"max_seq_len", max_seq_len},
                                       {"vocab_size", vocabulary},
                                       {"dim", dim},
                                       {"inter_dim", inter_dim},
                                       {"moe_inter_dim", moe_inter_dim},
                                       {"n_layers", n_layers},
                                       {"n_dense_layers", n_dense_layers},
                                       {"n_heads", n_heads},
                                       {"norm_eps", norm_eps},
                                       {"moe_args", protocols::mixture_json(moe)},
                                       {"q_lora_rank", q_lora_rank},
                                       {"kv_lora_rank", kv_lora_rank},
                                       {"qk_nope_head_dim", qk_nope_head_dim},
                                       {"qk_rope_head_dim", qk_rope_head_dim},
                                       {"v_head_dim", v_head_dim},
                                       {"attn_mask_type", block_causal ? "block_causal" : "causal"},
                                       {"original_seq_len", yarn.original_seq_len},
                                       {"rope_theta", rope_theta},
                                       {"rope_factor", yarn.factor},
                                       {"beta_fast", yarn.beta_fast},
                                       {"beta_slow", yarn.beta_slow},
                                       {"mscale", mscale}};
  return json.dump(2);
}

}  // namespace titan::models::deepseek_v3
