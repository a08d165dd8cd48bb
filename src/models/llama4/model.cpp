#include "titan/models/llama4/model.h"

#include "titan/nn/attention_masks.h"
#include "titan/nn/block_masks.h"

namespace titan::models::llama4 {

namespace {

using MakeBlock = std::function<std::unique_ptr<protocols::DecoderBlock>(std::int64_t)>;

MakeBlock make_block(const TransformerModelArgs& args, at::ScalarType dtype) {
  const auto masks =
      args.document_mask ? std::make_shared<nn::BlockMasks>(args.fixed_attn_block_size) : nullptr;
  return [=](std::int64_t layer) {
    return std::make_unique<TransformerBlock>(layer, args, masks, dtype);
  };
}

}  // namespace

TransformerBlock::TransformerBlock(std::int64_t layer_id, const TransformerModelArgs& args,
                                   const std::shared_ptr<nn::BlockMasks>& blocks,
                                   at::ScalarType dtype)
    : DecoderBlock(args.depth_init ? layer_id + 1 : args.n_layers) {
  const bool rotates = args.rotates(layer_id);
  nn::AttentionArgs attention{args.dim, args.n_heads, args.kv_heads(), dtype};
  if (rotates) attention.blocks = blocks;
  add_attention(std::make_unique<nn::Attention>(attention), rotates);
  if (args.has_experts(layer_id)) {
    add_moe(std::make_unique<nn::MoE>(args.moe, args.dim, args.expert_hidden_dim(), dtype));
  } else {
    add_feed_forward(std::make_unique<nn::FeedForward>(args.dim, args.ffn_hidden_dim(), dtype));
  }
  add_norms(args.dim, args.norm_eps, dtype);
}

Transformer::Transformer(const TransformerModelArgs& args, at::ScalarType dtype)
    : Decoder({args.dim, args.vocabulary, args.n_layers, args.norm_eps, /*tied=*/false, dtype},
              {"freqs_cis", {args.max_seq_len, args.head_dim() / 2}, at::kComplexFloat},
              make_block(args, dtype)),
      args_(args) {}

at::Tensor Transformer::make_rotations(at::Device device) const {
  return nn::precompute_freqs_cis(args_.head_dim(), args_.max_seq_len, args_.rope_theta,
                                  args_.rope_scaling, device);
}

nn::AttentionMask Transformer::document_mask(const at::Tensor& documents,
                                             at::ScalarType compute_dtype,
                                             at::DeviceType kernels) const {
  return nn::document_mask(documents, compute_dtype, kernels);
}

}  // namespace titan::models::llama4
