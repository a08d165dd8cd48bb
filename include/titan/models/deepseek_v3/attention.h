#pragma once

#include "titan/models/deepseek_v3/args.h"
#include "titan/nn/attention.h"
#include "titan/nn/rms_norm.h"

namespace titan::nn {
class KeyValueCache;
}

namespace titan::models::deepseek_v3 {

/// Multi-head latent attention: keys and values of all heads are made of one narrow vector per token, and of one key with its
/// position, which all heads share. Called with {x `[B, S, dim]`, freqs_cis} and the sequence; returns {`[B, S, dim]`}. The number
/// of heads follows from the projections' sizes, so that they may be sharded from outside. DeepSeek-AI 2024 (V2), 2.1.
class LatentAttention : public nn::AttentionLayer, public nn::FastPath {
 public:
  LatentAttention(const DeepSeekV3ModelArgs& args, at::ScalarType dtype);
  void init_weights(double output_std, at::Generator generator) override;

  /// Has caches keep the keys and values of all heads. Else they keep the latents that those are made of, and a few new tokens
  /// look at them without making a key or a value. That takes `wkv_b`'s weight as a matrix to multiply by, which it is not where
  /// the module's products are somebody else's.
  void keep_keys_and_values() { keeps_latents_ = false; }
  const nn::Linear& wkv_b() const { return *wkv_b_; }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override;

 private:
  /// What a token's keys and values are made of.
  struct Latents {
    at::Tensor vectors;    // [B, S, kv_lora_rank], normed
    at::Tensor positions;  // [B, S, qk_rope_head_dim], rotated
  };
  /// From what wkv_a has made of x.
  Latents latents_of(const at::Tensor& projected, const at::Tensor& rotations) const;
  at::Tensor attend(const at::Tensor& query_bshd, const Latents& latents,
                    const nn::SharedSequence& sequence, nn::KeyValueCache* cache) const;
  at::Tensor attend_to_kept(const at::Tensor& query_bshd, const at::Tensor& kept_bsd,
                            const nn::SharedSequence& sequence) const;
  bool gains_among_latents(std::int64_t queries, std::int64_t tokens) const;
  at::Tensor attend_among_latents(const at::Tensor& query_bshd, const at::Tensor& kept_bsd) const;
  /// From what wq, or wq_a, has made of x.
  at::Tensor query_of(const at::Tensor& projected, const at::Tensor& rotations) const;

  std::int64_t nope_dim_;
  std::int64_t rope_dim_;
  std::int64_t v_dim_;
  std::int64_t kv_rank_;
  double softmax_scale_;
  bool keeps_latents_ = true;
  nn::Linear* wq_ = nullptr;  // or, with latent queries, the next three
  nn::Linear* wq_a_ = nullptr;
  nn::RMSNorm* q_norm_ = nullptr;
  nn::Linear* wq_b_ = nullptr;
  nn::Linear* wkv_a_;
  nn::RMSNorm* kv_norm_;
  nn::Linear* wkv_b_;
  nn::Linear* wo_;
  nn::InnerAttention* inner_attention_;
};

}  // namespace titan::models::deepseek_v3
