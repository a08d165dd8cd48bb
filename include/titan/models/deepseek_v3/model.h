#pragma once

#include "titan/models/deepseek_v3/attention.h"
#include "titan/nn/embedding.h"
#include "titan/nn/feed_forward.h"
#include "titan/nn/moe/moe.h"

namespace titan::models::deepseek_v3 {

/// x + Attention(norm(x)), then + MoE(norm(.)), in the first layers + FeedForward(norm(.)). Called with {x `[B, S, dim]`,
/// freqs_cis} and the sequence.
class TransformerBlock : public nn::Module {
 public:
  TransformerBlock(std::int64_t layer_id, const DeepSeekV3ModelArgs& args, at::ScalarType dtype);
  void init_weights(at::Generator generator, std::optional<at::Device> buffer_device);

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override;

 private:
  double output_std_;
  LatentAttention* attention_;
  nn::RMSNorm* attention_norm_;
  nn::RMSNorm* ffn_norm_;
  nn::MoE* moe_ = nullptr;  // or
  nn::FeedForward* feed_forward_ = nullptr;
};

/// DeepSeek V3. Called with {tokens int64 `[B, S]`} and the sequence; returns {logits `[B, S, vocab]`}.
class Transformer : public protocols::ModelProtocol {
 public:
  Transformer(const DeepSeekV3ModelArgs& args, at::ScalarType dtype);

  void init_weights(at::Generator generator, std::optional<at::Device> buffer_device) override;
  void init_buffers(std::optional<at::Device> buffer_device) override;
  bool attends_within_documents() const override {
    return args_.attn_mask_type == AttentionMaskType::kBlockCausal;
  }
  nn::AttentionMask document_mask(const at::Tensor& documents, at::ScalarType compute_dtype,
                                  at::DeviceType kernels) const override;

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override;

 private:
  DeepSeekV3ModelArgs args_;
  nn::Embedding* tok_embeddings_;
  at::Tensor& freqs_cis_;  // complex64 [max_seq_len, qk_rope_head_dim / 2]
  nn::ModuleList* layers_;
  std::vector<TransformerBlock*> blocks_;
  nn::RMSNorm* norm_;
  nn::Linear* output_;
};

}  // namespace titan::models::deepseek_v3
