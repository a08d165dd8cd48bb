#include "titan/models/llama4/model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "titan/nn/attention_masks.h"
#include "titan/nn/block_masks.h"
#include "titan/nn/init.h"

namespace titan::models::llama4 {

TransformerBlock::TransformerBlock(std::int64_t layer_id, const TransformerModelArgs& args,
                                   const std::shared_ptr<nn::BlockMasks>& blocks,
                                   at::ScalarType dtype)
    : output_std_(
          0.02 /
          std::pow(2.0 * static_cast<double>(args.depth_init ? layer_id + 1 : args.n_layers), 0.5)),
      rotates_(args.rotates(layer_id)) {
  nn::AttentionArgs attention{args.dim, args.n_heads, args.kv_heads(), dtype};
  if (rotates_) attention.blocks = blocks;
  attention_ = add_child("attention", std::make_unique<nn::Attention>(attention));
  if (args.has_experts(layer_id)) {
    moe_ = add_child(
        "moe", std::make_unique<nn::MoE>(args.moe, args.dim, args.expert_hidden_dim(), dtype));
  } else {
    feed_forward_ = add_child(
        "feed_forward", std::make_unique<nn::FeedForward>(args.dim, args.ffn_hidden_dim(), dtype));
  }
  const auto norm = [&] { return std::make_unique<nn::RMSNorm>(args.dim, args.norm_eps, dtype); };
  attention_norm_ = add_child("attention_norm", norm());
  ffn_norm_ = add_child("ffn_norm", norm());
}

void TransformerBlock::init_weights(at::Generator generator,
                                    std::optional<at::Device> buffer_device) {
  attention_norm_->reset_parameters();
  ffn_norm_->reset_parameters();
  attention_->init_weights(output_std_, generator);
  if (moe_ != nullptr) {
    moe_->init_weights(output_std_, generator, buffer_device);
  } else {
    feed_forward_->init_weights(output_std_, generator);
  }
}

nn::Tensors TransformerBlock::forward(const nn::Inputs& inputs) {
  const at::Tensor& x = inputs.at(0);
  const at::Tensor rotations = rotates_ ? inputs.at(1) : at::Tensor();
  const at::Tensor h =
      x + (*attention_)({{attention_norm_->call(x), rotations}, inputs.sequence}).at(0);
  const at::Tensor normed = ffn_norm_->call(h);
  return {h + (moe_ != nullptr ? moe_->call(normed) : feed_forward_->call(normed))};
}

Transformer::Transformer(const TransformerModelArgs& args, at::ScalarType dtype)
    : args_(args),
      tok_embeddings_(add_child("tok_embeddings",
                                std::make_unique<nn::Embedding>(args.vocabulary, args.dim, dtype))),
      freqs_cis_(
          add_buffer("freqs_cis",
                     at::empty({args.max_seq_len, args.head_dim() / 2},
                               at::TensorOptions().dtype(at::kComplexFloat).device(at::kMeta)),
                     /*persistent=*/false)),
      layers_(add_child("layers", std::make_unique<nn::ModuleList>())) {
  const auto masks =
      args.document_mask ? std::make_shared<nn::BlockMasks>(args.fixed_attn_block_size) : nullptr;
  for (std::int64_t id = 0; id < args.n_layers; ++id) {
    blocks_.push_back(layers_->append(std::make_unique<TransformerBlock>(id, args, masks, dtype)));
  }
  norm_ = add_child("norm", std::make_unique<nn::RMSNorm>(args.dim, args.norm_eps, dtype));
  output_ = add_child("output", std::make_unique<nn::Linear>(args.dim, args.vocabulary, dtype));
}

void Transformer::init_buffers(std::optional<at::Device> buffer_device) {
  freqs_cis_ =
      nn::precompute_freqs_cis(args_.head_dim(), args_.max_seq_len, args_.rope_theta,
                               args_.rope_scaling, buffer_device.value_or(freqs_cis_.device()));
}

void Transformer::init_weights(at::Generator generator, std::optional<at::Device> buffer_device) {
  init_buffers(buffer_device);
  nn::normal_(tok_embeddings_->weight(), generator);
  for (TransformerBlock* block : blocks_) block->init_weights(generator, buffer_device);
  norm_->reset_parameters();
  const double std = std::pow(static_cast<double>(args_.dim), -0.5);
  nn::trunc_normal_(output_->weight(), std, generator, -3 * std, 3 * std);
}

nn::AttentionMask Transformer::document_mask(const at::Tensor& documents,
                                             at::ScalarType compute_dtype,
                                             at::DeviceType kernels) const {
  return nn::document_mask(documents, compute_dtype, kernels);
}

nn::Tensors Transformer::forward(const nn::Inputs& inputs) {
  at::Tensor x = tok_embeddings_->call(inputs.at(0));
  for (TransformerBlock* block : blocks_) {
    x = (*block)({{x, freqs_cis_}, inputs.sequence}).at(0);
  }
  return {output_->call(norm_->call(x))};
}

}  // namespace titan::models::llama4
