#pragma once

#include "titan/models/deepseek_v3/args.h"
#include "titan/nn/attention.h"
#include "titan/nn/rms_norm.h"

namespace titan::models::deepseek_v3 {

/// Multi-head latent attention: keys and values of all heads are made of one narrow vector per token, and of one key with its
/// position, which all heads share. Called with {x `[B, S, dim]`, freqs_cis} and the sequence; returns {`[B, S, dim]`}. The number
/// of heads follows from the projections' sizes, so that they may be sharded from outside. DeepSeek-AI 2024 (V2), 2.1.
class LatentAttention : public nn::AttentionLayer, public nn::FastPath {
 public:
  LatentAttention(const DeepSeekV3ModelArgs& args, at::ScalarType dtype);
  void init_weights(double output_std, at::Generator generator) override;

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override;

 private:
  /// From what wq, or wq_a, has made of x.
  at::Tensor query_of(const at::Tensor& projected, const at::Tensor& rotations) const;

  std::int64_t nope_dim_;
  std::int64_t rope_dim_;
  std::int64_t v_dim_;
  std::int64_t kv_rank_;
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
