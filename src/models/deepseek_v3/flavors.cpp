#include "titan/models/deepseek_v3/args.h"

namespace titan::models::deepseek_v3 {

namespace {

nn::MoEArgs mixture(std::int64_t num_experts, std::int64_t num_shared_experts, std::int64_t top_k) {
  nn::MoEArgs moe;
  moe.num_experts = num_experts;
  moe.num_shared_experts = num_shared_experts;
  moe.top_k = top_k;
  moe.score_func = nn::ScoreFunction::kSoftmax;
  moe.score_before_experts = false;
  return moe;
}

DeepSeekV3ModelArgs debugmodel() {
  DeepSeekV3ModelArgs args;
  args.vocabulary = 2048;
  args.dim = 256;
  args.inter_dim = 1024;
  args.moe_inter_dim = 256;
  args.n_layers = 6;
  args.moe = mixture(8, 2, 3);
  args.mscale = 0.70;
  return args;
}

/// 0.3 M parameters with every part of the large ones: latent queries, groups of experts, a dense layer.
DeepSeekV3ModelArgs tiny() {
  DeepSeekV3ModelArgs args = debugmodel();
  args.dim = 48;
  args.inter_dim = 96;
  args.moe_inter_dim = 32;
  args.n_layers = 3;
  args.n_heads = 4;
  args.q_lora_rank = 24;
  args.kv_lora_rank = 16;
  args.qk_nope_head_dim = 8;
  args.qk_rope_head_dim = 4;
  args.v_head_dim = 8;
  args.moe = mixture(8, 1, 2);
  args.moe.score_func = nn::ScoreFunction::kSigmoid;
  args.moe.route_norm = true;
  args.moe.route_scale = 2.5;
  args.moe.num_expert_groups = 4;
  args.moe.num_limited_groups = 2;
  return args;
}

DeepSeekV3ModelArgs large_16b() {
  DeepSeekV3ModelArgs args;
  args.moe = mixture(64, 2, 6);
  args.mscale = 0.70;
  args.attn_mask_type = AttentionMaskType::kBlockCausal;
  return args;
}

DeepSeekV3ModelArgs large_236b() {
  DeepSeekV3ModelArgs args = large_16b();
  args.dim = 5120;
  args.inter_dim = 12288;
  args.moe_inter_dim = 1536;
  args.n_layers = 60;
  args.n_heads = 128;
  args.moe = mixture(160, 2, 6);
  args.moe.num_expert_groups = 8;
  args.moe.num_limited_groups = 3;
  args.moe.route_scale = 16.0;
  args.q_lora_rank = 1536;
  args.mscale = 1.0;
  return args;
}

DeepSeekV3ModelArgs large_671b() {
  DeepSeekV3ModelArgs args = large_236b();
  args.vocabulary = 129280;
  args.dim = 7168;
  args.inter_dim = 18432;
  args.moe_inter_dim = 2048;
  args.n_layers = 61;
  args.n_dense_layers = 3;
  args.moe = mixture(256, 1, 8);
  args.moe.num_expert_groups = 8;
  args.moe.num_limited_groups = 4;
  args.moe.score_func = nn::ScoreFunction::kSigmoid;
  args.moe.route_norm = true;
  args.moe.route_scale = 2.5;
  return args;
}

DeepSeekV3ModelArgs by_document(DeepSeekV3ModelArgs args) {
  args.attn_mask_type = AttentionMaskType::kBlockCausal;
  return args;
}

}  // namespace

std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> flavors() {
  const std::map<std::string, DeepSeekV3ModelArgs> all = {
      {"debugmodel", debugmodel()},
      {"debugmodel_flex_attn", by_document(debugmodel())},
      {"tiny", tiny()},
      {"16B", large_16b()},
      {"236B", large_236b()},
      {"671B", large_671b()},
  };
  std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> result;
  for (const auto& [name, args] : all) {
    result[name] = std::make_shared<const DeepSeekV3ModelArgs>(args);
  }
  return result;
}

}  // namespace titan::models::deepseek_v3
