#include "titan/models/deepseek_v3/model.h"

#include <limits>

#include "titan/nn/attention_masks.h"

namespace titan::models::deepseek_v3 {

namespace {

/// Of the last norm, which has PyTorch's default in the reference.
constexpr double kFinalNormEps = std::numeric_limits<float>::epsilon();

}  // namespace

TransformerBlock::TransformerBlock(std::int64_t layer_id, const DeepSeekV3ModelArgs& args,
                                   at::ScalarType dtype)
    : DecoderBlock(layer_id + 1) {
  add_attention(std::make_unique<LatentAttention>(args, dtype));
  add_norms(args.dim, args.norm_eps, dtype);
  if (layer_id < args.n_dense_layers) {
    add_feed_forward(std::make_unique<nn::FeedForward>(args.dim, args.inter_dim, dtype));
  } else {
    add_moe(std::make_unique<nn::MoE>(args.moe, args.dim, args.moe_inter_dim, dtype));
  }
}

Transformer::Transformer(const DeepSeekV3ModelArgs& args, at::ScalarType dtype)
    : Decoder({args.dim, args.vocabulary, args.n_layers, kFinalNormEps, /*tied=*/false, dtype},
              {"freqs_cis", {args.max_seq_len, args.qk_rope_head_dim / 2}, at::kComplexFloat},
              [&](std::int64_t layer) {
                return std::make_unique<TransformerBlock>(layer, args, dtype);
              }),
      args_(args) {}

at::Tensor Transformer::make_rotations(at::Device device) const {
  return nn::precompute_yarn_freqs_cis(args_.qk_rope_head_dim, args_.max_seq_len, args_.rope_theta,
                                       args_.yarn, device);
}

/// Packed documents are for heads whose queries and values are of one width.
nn::AttentionMask Transformer::document_mask(const at::Tensor& documents, at::ScalarType,
                                             at::DeviceType) const {
  return nn::block_causal_mask(documents);
}

}  // namespace titan::models::deepseek_v3
