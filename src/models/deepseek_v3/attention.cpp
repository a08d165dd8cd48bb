#include "titan/models/deepseek_v3/attention.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <optional>
#include <tuple>
#include <variant>

#include "titan/nn/init.h"
#include "titan/nn/key_value_cache.h"

namespace titan::models::deepseek_v3 {

LatentAttention::LatentAttention(const DeepSeekV3ModelArgs& args, at::ScalarType dtype)
    : nope_dim_(args.qk_nope_head_dim),
      rope_dim_(args.qk_rope_head_dim),
      v_dim_(args.v_head_dim),
      kv_rank_(args.kv_lora_rank),
      softmax_scale_(args.softmax_scale()) {
  const auto linear = [&](const char* name, std::int64_t in, std::int64_t out) {
    return add_child(name, std::make_unique<nn::Linear>(in, out, dtype));
  };
  const auto norm = [&](const char* name, std::int64_t dim) {
    return add_child(name, std::make_unique<nn::RMSNorm>(dim, args.norm_eps, dtype));
  };
  if (args.q_lora_rank == 0) {
    wq_ = linear("wq", args.dim, args.n_heads * args.qk_head_dim());
  } else {
    wq_a_ = linear("wq_a", args.dim, args.q_lora_rank);
    q_norm_ = norm("q_norm", args.q_lora_rank);
    wq_b_ = linear("wq_b", args.q_lora_rank, args.n_heads * args.qk_head_dim());
  }
  wkv_a_ = linear("wkv_a", args.dim, kv_rank_ + rope_dim_);
  kv_norm_ = norm("kv_norm", kv_rank_);
  wkv_b_ = linear("wkv_b", kv_rank_, args.n_heads * (nope_dim_ + v_dim_));
  wo_ = linear("wo", args.n_heads * v_dim_, args.dim);
  inner_attention_ =
      add_child("inner_attention", std::make_unique<nn::InnerAttention>(softmax_scale_));
}

void LatentAttention::init_weights(double output_std, at::Generator generator) {
  for (nn::Linear* projection : {wkv_a_, wkv_b_, wq_a_, wq_b_, wq_}) {
    if (projection != nullptr) nn::trunc_normal_(projection->weight(), 0.02, generator);
  }
  nn::trunc_normal_(wo_->weight(), output_std, generator);
  kv_norm_->reset_parameters();
  if (q_norm_ != nullptr) q_norm_->reset_parameters();
}

at::Tensor LatentAttention::query_of(const at::Tensor& projected,
                                     const at::Tensor& rotations) const {
  const at::Tensor queries = wq_ != nullptr ? projected : wq_b_->call(q_norm_->call(projected));
  const std::vector<at::Tensor> parts =
      queries.view({queries.size(0), queries.size(1), -1, nope_dim_ + rope_dim_})
          .split_with_sizes({nope_dim_, rope_dim_}, -1);
  return at::cat({parts[0], nn::rotate_pairs(parts[1], rotations, is_fast())}, -1);
}

LatentAttention::Latents LatentAttention::latents_of(const at::Tensor& projected,
                                                     const at::Tensor& rotations) const {
  const std::vector<at::Tensor> parts = projected.split_with_sizes({kv_rank_, rope_dim_}, -1);
  const at::Tensor positions = nn::rotate_pairs(parts[1].unsqueeze(2), rotations, is_fast());
  return {kv_norm_->call(parts[0]), positions.squeeze(2)};
}

/// With the keys and values of all heads, and those of the tokens before in `cache`.
at::Tensor LatentAttention::attend(const at::Tensor& query_bshd, const Latents& latents,
                                   const nn::SharedSequence& sequence,
                                   nn::KeyValueCache* cache) const {
  const std::vector<at::Tensor> key_value =
      wkv_b_->call(latents.vectors)
          .view({latents.vectors.size(0), latents.vectors.size(1), -1, nope_dim_ + v_dim_})
          .split_with_sizes({nope_dim_, v_dim_}, -1);
  const at::Tensor positions =
      latents.positions.unsqueeze(2).expand({-1, -1, key_value[0].size(2), -1});
  const at::Tensor key = at::cat({key_value[0], positions}, -1);

  nn::Inputs qkv({query_bshd.transpose(1, 2), key.transpose(1, 2), key_value[1].transpose(1, 2)},
                 sequence);
  if (cache != nullptr) {
    std::tie(qkv.tensors[1], qkv.tensors[2]) = cache->append(qkv.at(1), qkv.at(2));
  }
  return (*inner_attention_)(qkv).at(0);
}

/// `kept_bsd`: the latents of all tokens, vector and position one behind the other; the queries are the last tokens'.
at::Tensor LatentAttention::attend_to_kept(const at::Tensor& query_bshd, const at::Tensor& kept_bsd,
                                           const nn::SharedSequence& sequence) const {
  if (std::holds_alternative<nn::CausalMask>(sequence->mask) &&
      gains_among_latents(query_bshd.size(1), kept_bsd.size(1))) {
    return attend_among_latents(query_bshd, kept_bsd);
  }
  const std::vector<at::Tensor> parts = kept_bsd.split_with_sizes({kv_rank_, rope_dim_}, -1);
  return attend(query_bshd, {parts[0], parts[1]}, sequence, nullptr);
}

/// Latents are wider than a head's keys and values, so each query has more to multiply; but nothing has to be made of the tokens.
bool LatentAttention::gains_among_latents(std::int64_t queries, std::int64_t tokens) const {
  return queries < tokens &&
         queries * (2 * kv_rank_ - nope_dim_ - v_dim_) < kv_rank_ * (nope_dim_ + v_dim_);
}

/// q (W c) = (q W) c: queries go into the latents' space, where the tokens are the same for all heads, and what they see there
/// comes out of it through the other half of `wkv_b`. DeepSeek-AI 2024 (V2), 2.1.2.
at::Tensor LatentAttention::attend_among_latents(const at::Tensor& query_bshd,
                                                 const at::Tensor& kept_bsd) const {
  const std::int64_t batch = query_bshd.size(0);
  const std::int64_t length = query_bshd.size(1);
  const std::int64_t heads = query_bshd.size(2);
  const std::vector<at::Tensor> weights = wkv_b_->weight()
                                              .tensor.view({heads, nope_dim_ + v_dim_, kv_rank_})
                                              .split_with_sizes({nope_dim_, v_dim_}, 1);
  const std::vector<at::Tensor> parts = query_bshd.split_with_sizes({nope_dim_, rope_dim_}, -1);
  const at::Tensor inside = at::matmul(parts[0].transpose(1, 2), weights[0]).transpose(1, 2);
  // The heads are queries of one head, a token's one behind the other.
  const at::Tensor query =
      at::cat({inside, parts[1]}, -1).view({batch, 1, length * heads, kv_rank_ + rope_dim_});
  const std::int64_t before = kept_bsd.size(1) - length;
  std::optional<at::Tensor> allowed;
  if (length > 1) {
    allowed = at::ones({length, before + length}, query.options().dtype(at::kBool))
                  .tril(before)
                  .repeat_interleave(heads, 0);
  }
  // What is behind the vectors in a value is not looked at: kernels want it as wide as a key.
  const at::Tensor kept = kept_bsd.unsqueeze(1);
  const at::Tensor seen =
      at::scaled_dot_product_attention(query, kept, kept, allowed, /*dropout_p=*/0.0,
                                       /*is_causal=*/false, softmax_scale_)
          .view({batch, length, heads, -1})
          .narrow(-1, 0, kv_rank_);
  return at::matmul(seen.transpose(1, 2), weights[1].transpose(1, 2)).transpose(1, 2).contiguous();
}

nn::Tensors LatentAttention::forward(const nn::Inputs& inputs) {
  const at::Tensor& x_bsd = inputs.at(0);
  const std::int64_t batch = x_bsd.size(0);
  const std::int64_t length = x_bsd.size(1);
  const nn::SharedSequence& sequence = inputs.sequence;
  nn::KeyValueCache* cache = sequence && sequence->caches ? &sequence->caches->of(*this) : nullptr;
  const at::Tensor rotations =
      nn::rotations_of(inputs.at(1), sequence ? sequence->positions : at::Tensor(),
                       cache ? cache->length() : 0, length);
  // Off the fast path one behind the other, as per-operator checkpointing counts the reference's products.
  nn::Linear* const first = wq_ != nullptr ? wq_ : wq_a_;
  std::vector<at::Tensor> of_x;
  if (is_fast()) of_x = nn::call_together({first, wkv_a_}, x_bsd);
  const at::Tensor query = query_of(is_fast() ? of_x[0] : first->call(x_bsd), rotations);
  const Latents latents = latents_of(is_fast() ? of_x[1] : wkv_a_->call(x_bsd), rotations);
  at::Tensor output;
  if (cache != nullptr && keeps_latents_) {
    // As the key of one head.
    const at::Tensor kept =
        cache->append(at::cat({latents.vectors, latents.positions}, -1).unsqueeze(1));
    output = attend_to_kept(query, kept.squeeze(1), sequence);
  } else {
    output = attend(query, latents, sequence, cache);
  }
  return {wo_->call(output.view({batch, length, -1}))};
}

}  // namespace titan::models::deepseek_v3
