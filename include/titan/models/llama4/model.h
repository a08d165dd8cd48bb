#pragma once

#include "titan/models/llama4/args.h"
#include "titan/nn/attention.h"
#include "titan/nn/embedding.h"
#include "titan/nn/feed_forward.h"
#include "titan/nn/moe/moe.h"
#include "titan/nn/rms_norm.h"

namespace titan::models::llama4 {

/// x + Attention(norm(x)), then + FeedForward(norm(.)) or + MoE(norm(.)). Called with {x `[B, S, dim]`, freqs_cis} and the sequence.
class TransformerBlock : public nn::Module {
 public:
  /// `blocks`: what confines the attention of layers that rotate; null: nothing.
  TransformerBlock(std::int64_t layer_id, const TransformerModelArgs& args,
                   const std::shared_ptr<nn::BlockMasks>& blocks, at::ScalarType dtype);
  void init_weights(at::Generator generator, std::optional<at::Device> buffer_device);

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override;

 private:
  double output_std_;
  bool rotates_;
  nn::Attention* attention_;
  nn::MoE* moe_ = nullptr;  // one of the two
  nn::FeedForward* feed_forward_ = nullptr;
  nn::RMSNorm* attention_norm_;
  nn::RMSNorm* ffn_norm_;
};

/// Llama 4. Called with {tokens int64 `[B, S]`} and the sequence; returns {logits `[B, S, vocab]`}.
class Transformer : public protocols::ModelProtocol {
 public:
  Transformer(const TransformerModelArgs& args, at::ScalarType dtype);

  void init_weights(at::Generator generator, std::optional<at::Device> buffer_device) override;
  void init_buffers(std::optional<at::Device> buffer_device) override;
  bool attends_within_documents() const override { return args_.document_mask; }
  nn::AttentionMask document_mask(const at::Tensor& documents, at::ScalarType compute_dtype,
                                  at::DeviceType kernels) const override;

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override;

 private:
  TransformerModelArgs args_;
  nn::Embedding* tok_embeddings_;
  at::Tensor& freqs_cis_;  // complex64 [max_seq_len, head_dim / 2]
  nn::ModuleList* layers_;
  std::vector<TransformerBlock*> blocks_;
  nn::RMSNorm* norm_;
  nn::Linear* output_;
};

}  // namespace titan::models::llama4
