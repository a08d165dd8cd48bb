#pragma once

#include "titan/models/qwen3/args.h"
#include "titan/nn/attention.h"
#include "titan/nn/embedding.h"
#include "titan/nn/feed_forward.h"
#include "titan/nn/moe/moe.h"
#include "titan/nn/rms_norm.h"

namespace titan::models::qwen3 {

/// x + Attention(norm(x)), then + FeedForward(norm(.)) or + MoE(norm(.)). Called with {x `[B, S, dim]`, rope_cache} and the
/// sequence.
class TransformerBlock : public nn::Module {
 public:
  TransformerBlock(std::int64_t layer_id, const Qwen3ModelArgs& args, at::ScalarType dtype);
  void init_weights(at::Generator generator, std::optional<at::Device> buffer_device);

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override;

 private:
  double output_std_;
  nn::Attention* attention_;
  nn::MoE* moe_ = nullptr;  // one of the two
  nn::FeedForward* feed_forward_ = nullptr;
  nn::RMSNorm* attention_norm_;
  nn::RMSNorm* ffn_norm_;
};

/// Qwen 3. Called with {tokens int64 `[B, S]`} and the sequence; returns {logits `[B, S, vocab]`}.
class Qwen3Model : public protocols::ModelProtocol {
 public:
  Qwen3Model(const Qwen3ModelArgs& args, at::ScalarType dtype);

  void init_weights(at::Generator generator, std::optional<at::Device> buffer_device) override;
  void init_buffers(std::optional<at::Device> buffer_device) override;

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override;

 private:
  Qwen3ModelArgs args_;
  nn::Embedding* tok_embeddings_;
  at::Tensor& rope_cache_;  // fp32 [max_seq_len, 2 · head_dim]
  nn::ModuleList* layers_;
  std::vector<TransformerBlock*> blocks_;
  nn::RMSNorm* norm_;
  nn::Linear* output_;
};

}  // namespace titan::models::qwen3
