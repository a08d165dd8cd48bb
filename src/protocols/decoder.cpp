#include "titan/protocols/decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <utility>

#include "titan/nn/init.h"

namespace titan::protocols {

DecoderBlock::DecoderBlock(std::int64_t depth)
    : output_std_(0.02 / std::pow(2.0 * static_cast<double>(depth), 0.5)) {}

void DecoderBlock::add_attention(std::unique_ptr<nn::AttentionLayer> attention, bool rotates) {
  attention_ = add_child("attention", std::move(attention));
  rotates_ = rotates;
}

void DecoderBlock::add_feed_forward(std::unique_ptr<nn::FeedForward> feed_forward) {
  feed_forward_ = add_child("feed_forward", std::move(feed_forward));
}

void DecoderBlock::add_moe(std::unique_ptr<nn::MoE> moe) {
  moe_ = add_child("moe", std::move(moe));
}

void DecoderBlock::add_norms(std::int64_t dim, double eps, at::ScalarType dtype) {
  attention_norm_ = add_child("attention_norm", std::make_unique<nn::RMSNorm>(dim, eps, dtype));
  ffn_norm_ = add_child("ffn_norm", std::make_unique<nn::RMSNorm>(dim, eps, dtype));
}

void DecoderBlock::init_weights(at::Generator generator, std::optional<at::Device> buffer_device) {
  attention_norm_->reset_parameters();
  ffn_norm_->reset_parameters();
  attention_->init_weights(output_std_, generator);
  if (moe_ != nullptr) {
    moe_->init_weights(output_std_, generator, buffer_device);
  } else {
    feed_forward_->init_weights(output_std_, generator);
  }
}

nn::Tensors DecoderBlock::forward(const nn::Inputs& inputs) {
  const at::Tensor rotations = rotates_ ? inputs.at(1) : at::Tensor();
  // Norms give back what they are added to, so that its gradients meet in theirs.
  const nn::Tensors x = (*attention_norm_)({{inputs.at(0), at::Tensor()}});
  const at::Tensor attended = (*attention_)({{x.at(0), rotations}, inputs.sequence}).at(0);
  const nn::Tensors h = (*ffn_norm_)({{x.at(1), attended}});
  return {h.at(1) + (moe_ != nullptr ? moe_->call(h.at(0)) : feed_forward_->call(h.at(0)))};
}

Decoder::Decoder(const DecoderParts& parts, const RotationTable& rotations,
                 const std::function<std::unique_ptr<DecoderBlock>(std::int64_t layer)>& make_block)
    : output_std_(std::pow(static_cast<double>(parts.dim), -0.5)),
      tok_embeddings_(add_child("tok_embeddings", std::make_unique<nn::Embedding>(
                                                      parts.vocabulary, parts.dim, parts.dtype))),
      rotations_(add_buffer(
          rotations.name,
          at::empty(rotations.sizes, at::TensorOptions().dtype(rotations.dtype).device(at::kMeta)),
          /*persistent=*/false)),
      layers_(add_child("layers", std::make_unique<nn::ModuleList>())) {
  for (std::int64_t layer = 0; layer < parts.n_layers; ++layer) {
    blocks_.push_back(layers_->append(make_block(layer)));
  }
  norm_ = add_child("norm", std::make_unique<nn::RMSNorm>(parts.dim, parts.norm_eps, parts.dtype));
  output_ =
      add_child("output", std::make_unique<nn::Linear>(parts.dim, parts.vocabulary, parts.dtype));
  if (parts.tied) output_->tie_parameter("weight", *tok_embeddings_, "weight");
}

void Decoder::init_buffers(std::optional<at::Device> buffer_device) {
  rotations_ = make_rotations(buffer_device.value_or(rotations_.device()));
}

/// Of a tied weight the output's numbers stay: the embedding's are drawn and written over.
void Decoder::init_weights(at::Generator generator, std::optional<at::Device> buffer_device) {
  init_buffers(buffer_device);
  nn::normal_(tok_embeddings_->weight(), generator);
  for (DecoderBlock* block : blocks_) block->init_weights(generator, buffer_device);
  norm_->reset_parameters();
  nn::trunc_normal_(output_->weight(), output_std_, generator, -3 * output_std_, 3 * output_std_);
}

nn::Tensors Decoder::forward(const nn::Inputs& inputs) {
  at::Tensor x = tok_embeddings_->call(inputs.at(0));
  for (DecoderBlock* block : blocks_) {
    x = (*block)({{x, rotations_}, inputs.sequence}).at(0);
  }
  return {output_->call(norm_->call(x))};
}

}  // namespace titan::protocols
