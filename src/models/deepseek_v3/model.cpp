#include "titan/models/deepseek_v3/model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <limits>

#include "titan/nn/attention_masks.h"
#include "titan/nn/init.h"

namespace titan::models::deepseek_v3 {

namespace {

/// Of the last norm, which has PyTorch's default in the reference.
constexpr double kFinalNormEps = std::numeric_limits<float>::epsilon();

}  // namespace

TransformerBlock::TransformerBlock(std::int64_t layer_id, const DeepSeekV3ModelArgs& args,
                                   at::ScalarType dtype)
    : output_std_(0.02 / std::pow(2.0 * static_cast<double>(layer_id + 1), 0.5)),
      attention_(add_child("attention", std::make_unique<LatentAttention>(args, dtype))),
      attention_norm_(add_child("attention_norm",
                                std::make_unique<nn::RMSNorm>(args.dim, args.norm_eps, dtype))),
      ffn_norm_(
          add_child("ffn_norm", std::make_unique<nn::RMSNorm>(args.dim, args.norm_eps, dtype))) {
  if (layer_id < args.n_dense_layers) {
    feed_forward_ = add_child("feed_forward",
                              std::make_unique<nn::FeedForward>(args.dim, args.inter_dim, dtype));
  } else {
    moe_ =
        add_child("moe", std::make_unique<nn::MoE>(args.moe, args.dim, args.moe_inter_dim, dtype));
  }
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
  const at::Tensor h =
      x + (*attention_)({{attention_norm_->call(x), inputs.at(1)}, inputs.sequence}).at(0);
  const at::Tensor normed = ffn_norm_->call(h);
  return {h + (moe_ != nullptr ? moe_->call(normed) : feed_forward_->call(normed))};
}

Transformer::Transformer(const DeepSeekV3ModelArgs& args, at::ScalarType dtype)
    : args_(args),
      tok_embeddings_(add_child("tok_embeddings",
                                std::make_unique<nn::Embedding>(args.vocabulary, args.dim, dtype))),
      freqs_cis_(
          add_buffer("freqs_cis",
                     at::empty({args.max_seq_len, args.qk_rope_head_dim / 2},
                               at::TensorOptions().dtype(at::kComplexFloat).device(at::kMeta)),
                     /*persistent=*/false)),
      layers_(add_child("layers", std::make_unique<nn::ModuleList>())) {
  for (std::int64_t id = 0; id < args.n_layers; ++id) {
    blocks_.push_back(layers_->append(std::make_unique<TransformerBlock>(id, args, dtype)));
  }
  norm_ = add_child("norm", std::make_unique<nn::RMSNorm>(args.dim, kFinalNormEps, dtype));
  output_ = add_child("output", std::make_unique<nn::Linear>(args.dim, args.vocabulary, dtype));
}

void Transformer::init_buffers(std::optional<at::Device> buffer_device) {
  freqs_cis_ =
      nn::precompute_yarn_freqs_cis(args_.qk_rope_head_dim, args_.max_seq_len, args_.rope_theta,
                                    args_.yarn, buffer_device.value_or(freqs_cis_.device()));
}

void Transformer::init_weights(at::Generator generator, std::optional<at::Device> buffer_device) {
  init_buffers(buffer_device);
  nn::normal_(tok_embeddings_->weight(), generator);
  for (TransformerBlock* block : blocks_) block->init_weights(generator, buffer_device);
  norm_->reset_parameters();
  const double std = std::pow(static_cast<double>(args_.dim), -0.5);
  nn::trunc_normal_(output_->weight(), std, generator, -3 * std, 3 * std);
}

/// Packed documents are for heads whose queries and values are of one width.
nn::AttentionMask Transformer::document_mask(const at::Tensor& documents, at::ScalarType,
                                             at::DeviceType) const {
  return nn::block_causal_mask(documents);
}

nn::Tensors Transformer::forward(const nn::Inputs& inputs) {
  at::Tensor x = tok_embeddings_->call(inputs.at(0));
  for (TransformerBlock* block : blocks_) {
    x = (*block)({{x, freqs_cis_}, inputs.sequence}).at(0);
  }
  return {output_->call(norm_->call(x))};
}

}  // namespace titan::models::deepseek_v3
