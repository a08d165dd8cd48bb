#include "titan/models/qwen3/model.h"

#include "titan/nn/rope.h"

namespace titan::models::qwen3 {

namespace {

nn::AttentionArgs attention_args(const Qwen3ModelArgs& args, at::ScalarType dtype) {
  nn::AttentionArgs result{args.dim, args.n_heads, args.n_kv_heads, dtype, args.head_dim};
  if (args.qk_norm) result.qk_norm_eps = args.norm_eps;
  return result;
}

}  // namespace

TransformerBlock::TransformerBlock(std::int64_t layer_id, const Qwen3ModelArgs& args,
                                   at::ScalarType dtype)
    : DecoderBlock(args.depth_init ? layer_id + 1 : args.n_layers) {
  add_attention(std::make_unique<nn::Attention>(attention_args(args, dtype)));
  if (args.moe_enabled) {
    add_moe(std::make_unique<nn::MoE>(args.moe, args.dim, args.moe_inter_dim, dtype));
  } else {
    add_feed_forward(std::make_unique<nn::FeedForward>(args.dim, args.hidden_dim, dtype));
  }
  add_norms(args.dim, args.norm_eps, dtype);
}

Qwen3Model::Qwen3Model(const Qwen3ModelArgs& args, at::ScalarType dtype)
    : Decoder({args.dim, args.vocabulary, args.n_layers, args.norm_eps, args.enable_weight_tying,
               dtype},
              {"rope_cache", {args.max_seq_len, 2 * args.head_dim}, at::kFloat},
              [&](std::int64_t layer) {
                return std::make_unique<TransformerBlock>(layer, args, dtype);
              }),
      args_(args) {}

at::Tensor Qwen3Model::make_rotations(at::Device device) const {
  return nn::precompute_rope_cache(args_.head_dim, args_.max_seq_len, args_.rope_theta, device);
}

}  // namespace titan::models::qwen3
