#include "titan/models/llama3/model.h"

#include "titan/nn/attention_masks.h"

namespace titan::models::llama3 {

TransformerBlock::TransformerBlock(std::int64_t layer_id, const TransformerModelArgs& args,
                                   at::ScalarType dtype)
    : DecoderBlock(args.depth_init ? layer_id + 1 : args.n_layers) {
  add_attention(std::make_unique<nn::Attention>(
      nn::AttentionArgs{args.dim, args.n_heads, args.kv_heads(), dtype}));
  add_feed_forward(std::make_unique<nn::FeedForward>(args.dim, args.ffn_hidden_dim(), dtype));
  add_norms(args.dim, args.norm_eps, dtype);
}

Transformer::Transformer(const TransformerModelArgs& args, at::ScalarType dtype)
    : Decoder({args.dim, args.vocabulary, args.n_layers, args.norm_eps, args.enable_weight_tying,
               dtype},
              {"freqs_cis", {args.max_seq_len, args.dim / args.n_heads / 2}, at::kComplexFloat},
              [&](std::int64_t layer) {
                return std::make_unique<TransformerBlock>(layer, args, dtype);
              }),
      args_(args) {}

at::Tensor Transformer::make_rotations(at::Device device) const {
  return nn::precompute_freqs_cis(args_.dim / args_.n_heads, args_.max_seq_len, args_.rope_theta,
                                  args_.rope_scaling, device);
}

nn::AttentionMask Transformer::document_mask(const at::Tensor& documents,
                                             at::ScalarType compute_dtype,
                                             at::DeviceType kernels) const {
  return nn::document_mask(documents, compute_dtype, kernels);
}

}  // namespace titan::models::llama3
