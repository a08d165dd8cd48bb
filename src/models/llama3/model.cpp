#include "titan/models/llama3/model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "titan/base/errors.h"
#include "titan/nn/attention_masks.h"
#include "titan/nn/init.h"

namespace titan::models::llama3 {

TransformerBlock::TransformerBlock(std::int64_t layer_id, const TransformerModelArgs& args,
                                   at::ScalarType dtype)
    : output_std_(
          0.02 /
          std::pow(2.0 * static_cast<double>(args.depth_init ? layer_id + 1 : args.n_layers), 0.5)),
      attention_(add_child("attention", std::make_unique<nn::Attention>(nn::AttentionArgs{
                                            args.dim, args.n_heads, args.kv_heads(), dtype}))),
      feed_forward_(add_child("feed_forward", std::make_unique<nn::FeedForward>(
                                                  args.dim, args.ffn_hidden_dim(), dtype))),
      attention_norm_(add_child("attention_norm",
                                std::make_unique<nn::RMSNorm>(args.dim, args.norm_eps, dtype))),
      ffn_norm_(
          add_child("ffn_norm", std::make_unique<nn::RMSNorm>(args.dim, args.norm_eps, dtype))) {}

void TransformerBlock::init_weights(at::Generator generator) {
  attention_norm_->reset_parameters();
  ffn_norm_->reset_parameters();
  attention_->init_weights(output_std_, generator);
  feed_forward_->init_weights(output_std_, generator);
}

nn::Tensors TransformerBlock::forward(const nn::Inputs& inputs) {
  const at::Tensor& x = inputs.at(0);
  const at::Tensor& freqs_cis = inputs.at(1);
  const at::Tensor h =
      x + (*attention_)({{attention_norm_->call(x), freqs_cis}, inputs.sequence}).at(0);
  return {h + feed_forward_->call(ffn_norm_->call(h))};
}

Transformer::Transformer(const TransformerModelArgs& args, at::ScalarType dtype)
    : args_(args),
      tok_embeddings_(add_child("tok_embeddings",
                                std::make_unique<nn::Embedding>(args.vocabulary, args.dim, dtype))),
      freqs_cis_(
          add_buffer("freqs_cis",
                     at::empty({args.max_seq_len, args.dim / args.n_heads / 2},
                               at::TensorOptions().dtype(at::kComplexFloat).device(at::kMeta)),
                     /*persistent=*/false)),
      layers_(add_child("layers", std::make_unique<nn::ModuleList>())) {
  for (std::int64_t id = 0; id < args.n_layers; ++id) {
    blocks_.push_back(layers_->append(std::make_unique<TransformerBlock>(id, args, dtype)));
  }
  norm_ = add_child("norm", std::make_unique<nn::RMSNorm>(args.dim, args.norm_eps, dtype));
  output_ = add_child("output", std::make_unique<nn::Linear>(args.dim, args.vocabulary, dtype));
  if (args.enable_weight_tying) output_->tie_parameter("weight", *tok_embeddings_, "weight");
}

at::Tensor Transformer::make_freqs_cis(at::Device device) const {
  return nn::precompute_freqs_cis(args_.dim / args_.n_heads, args_.max_seq_len, args_.rope_theta,
                                  args_.rope_scaling, device);
}

void Transformer::init_buffers(std::optional<at::Device> buffer_device) {
  freqs_cis_ = make_freqs_cis(buffer_device.value_or(freqs_cis_.device()));
}

void Transformer::init_weights(at::Generator generator, std::optional<at::Device> buffer_device) {
  init_buffers(buffer_device);
  nn::normal_(tok_embeddings_->weight(), generator);
  for (TransformerBlock* block : blocks_) block->init_weights(generator);
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

}  // namespace titan::models::llama3
