#include "titan/models/qwen3/model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "titan/nn/init.h"
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
    : output_std_(
          0.02 /
          std::pow(2.0 * static_cast<double>(args.depth_init ? layer_id + 1 : args.n_layers), 0.5)),
      attention_(
          add_child("attention", std::make_unique<nn::Attention>(attention_args(args, dtype)))) {
  if (args.moe_enabled) {
    moe_ =
        add_child("moe", std::make_unique<nn::MoE>(args.moe, args.dim, args.moe_inter_dim, dtype));
  } else {
    feed_forward_ = add_child("feed_forward",
                              std::make_unique<nn::FeedForward>(args.dim, args.hidden_dim, dtype));
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
  const at::Tensor& rope_cache = inputs.at(1);
  const at::Tensor h =
      x + (*attention_)({{attention_norm_->call(x), rope_cache}, inputs.sequence}).at(0);
  const at::Tensor normed = ffn_norm_->call(h);
  return {h + (moe_ != nullptr ? moe_->call(normed) : feed_forward_->call(normed))};
}

Qwen3Model::Qwen3Model(const Qwen3ModelArgs& args, at::ScalarType dtype)
    : args_(args),
      tok_embeddings_(add_child("tok_embeddings",
                                std::make_unique<nn::Embedding>(args.vocabulary, args.dim, dtype))),
      rope_cache_(add_buffer("rope_cache",
                             at::empty({args.max_seq_len, 2 * args.head_dim},
                                       at::TensorOptions().dtype(at::kFloat).device(at::kMeta)),
                             /*persistent=*/false)),
      layers_(add_child("layers", std::make_unique<nn::ModuleList>())) {
  for (std::int64_t id = 0; id < args.n_layers; ++id) {
    blocks_.push_back(layers_->append(std::make_unique<TransformerBlock>(id, args, dtype)));
  }
  norm_ = add_child("norm", std::make_unique<nn::RMSNorm>(args.dim, args.norm_eps, dtype));
  output_ = add_child("output", std::make_unique<nn::Linear>(args.dim, args.vocabulary, dtype));
  if (args.enable_weight_tying) output_->tie_parameter("weight", *tok_embeddings_, "weight");
}

void Qwen3Model::init_buffers(std::optional<at::Device> buffer_device) {
  rope_cache_ = nn::precompute_rope_cache(args_.head_dim, args_.max_seq_len, args_.rope_theta,
                                          buffer_device.value_or(rope_cache_.device()));
}

/// Of a tied weight the output's numbers stay: the embedding's are drawn and written over.
void Qwen3Model::init_weights(at::Generator generator, std::optional<at::Device> buffer_device) {
  init_buffers(buffer_device);
  nn::normal_(tok_embeddings_->weight(), generator);
  for (TransformerBlock* block : blocks_) block->init_weights(generator, buffer_device);
  norm_->reset_parameters();
  const double std = std::pow(static_cast<double>(args_.dim), -0.5);
  nn::trunc_normal_(output_->weight(), std, generator, -3 * std, 3 * std);
}

nn::Tensors Qwen3Model::forward(const nn::Inputs& inputs) {
  at::Tensor x = tok_embeddings_->call(inputs.at(0));
  for (TransformerBlock* block : blocks_) {
    x = (*block)({{x, rope_cache_}, inputs.sequence}).at(0);
  }
  return {output_->call(norm_->call(x))};
}

}  // namespace titan::models::qwen3
