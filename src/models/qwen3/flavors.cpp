#include "titan/models/qwen3/args.h"

namespace titan::models::qwen3 {

namespace {

Qwen3ModelArgs dense(std::int64_t dim, std::int64_t n_layers, std::int64_t n_heads,
                     std::int64_t hidden_dim, bool tied) {
  Qwen3ModelArgs args;
  args.dim = dim;
  args.n_layers = n_layers;
  args.n_heads = n_heads;
  args.hidden_dim = hidden_dim;
  args.enable_weight_tying = tied;
  return args;
}

Qwen3ModelArgs debugmodel() {
  Qwen3ModelArgs args = dense(256, 8, 16, 3072, /*tied=*/true);
  args.vocabulary = 2048;
  return args;
}

/// The debug model's vocabulary and rope with 63,128 parameters; heads wider than their share of `dim`.
Qwen3ModelArgs tiny() {
  Qwen3ModelArgs args = debugmodel();
  args.dim = 24;
  args.n_layers = 2;
  args.n_heads = 4;
  args.n_kv_heads = 2;
  args.head_dim = 8;
  args.hidden_dim = 64;
  return args;
}

/// The same with an output layer of its own.
Qwen3ModelArgs tiny_untied() {
  Qwen3ModelArgs args = tiny();
  args.enable_weight_tying = false;
  return args;
}

/// 2.6 M parameters: learns on two CPU cores while one waits.
Qwen3ModelArgs small() {
  Qwen3ModelArgs args = debugmodel();
  args.dim = 192;
  args.n_layers = 4;
  args.n_heads = 8;
  args.n_kv_heads = 4;
  args.head_dim = 48;
  args.hidden_dim = 576;
  return args;
}

Qwen3ModelArgs with_experts(Qwen3ModelArgs args, std::int64_t inter_dim, std::int64_t experts,
                            std::int64_t top_k) {
  args.enable_weight_tying = false;
  args.moe_enabled = true;
  args.moe_inter_dim = inter_dim;
  args.moe.num_experts = experts;
  args.moe.num_shared_experts = 0;
  args.moe.top_k = top_k;
  args.moe.score_func = nn::ScoreFunction::kSoftmax;
  args.moe.route_norm = true;
  args.moe.score_before_experts = false;
  // The reference saves a bias with these models, which stays zero.
  args.moe.moves_bias = false;
  return args;
}

Qwen3ModelArgs debugmodel_moe() { return with_experts(debugmodel(), 768, 64, 8); }

Qwen3ModelArgs qwen_30b_a3b() {
  Qwen3ModelArgs args = dense(2048, 48, 32, 6144, false);
  args.n_kv_heads = 4;
  args.max_seq_len = 262144;
  return with_experts(args, 768, 128, 8);
}

Qwen3ModelArgs qwen_235b_a22b() {
  Qwen3ModelArgs args = dense(4096, 94, 64, 12288, false);
  args.n_kv_heads = 4;
  args.rope_theta = 5000000;
  return with_experts(args, 1536, 128, 8);
}

}  // namespace

std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> flavors() {
  const std::map<std::string, Qwen3ModelArgs> all = {
      {"debugmodel", debugmodel()},
      {"tiny", tiny()},
      {"tiny_untied", tiny_untied()},
      {"tiny_moe", with_experts(tiny(), 32, 8, 2)},
      {"small", small()},
      {"small_moe", with_experts(small(), 192, 8, 2)},
      {"debugmodel_moe", debugmodel_moe()},
      {"0.6B", dense(1024, 28, 16, 3072, true)},
      {"1.7B", dense(2048, 28, 16, 6144, true)},
      {"4B", dense(2560, 36, 32, 9728, true)},
      {"8B", dense(4096, 36, 32, 12288, false)},
      {"14B", dense(5120, 40, 40, 17408, false)},
      {"32B", dense(5120, 64, 64, 25600, false)},
      {"30B-A3B", qwen_30b_a3b()},
      {"235B-A22B", qwen_235b_a22b()},
  };
  std::map<std::string, std::shared_ptr<const protocols::ModelArgs>> result;
  for (const auto& [name, args] : all) {
    result[name] = std::make_shared<const Qwen3ModelArgs>(args);
  }
  return result;
}

}  // namespace titan::models::qwen3
