#include "titan/models/deepseek_v3/attention.h"

#include <ATen/ops/cat.h>

#include <tuple>

#include "titan/nn/init.h"
#include "titan/nn/key_value_cache.h"

namespace titan::models::deepseek_v3 {

LatentAttention::LatentAttention(const DeepSeekV3ModelArgs& args, at::ScalarType dtype)
    : nope_dim_(args.qk_nope_head_dim),
      rope_dim_(args.qk_rope_head_dim),
      v_dim_(args.v_head_dim),
      kv_rank_(args.kv_lora_rank) {
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
      add_child("inner_attention", std::make_unique<nn::InnerAttention>(args.softmax_scale()));
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

  const std::vector<at::Tensor> latent =
      (is_fast() ? of_x[1] : wkv_a_->call(x_bsd)).split_with_sizes({kv_rank_, rope_dim_}, -1);
  const at::Tensor key_position = nn::rotate_pairs(latent[1].unsqueeze(2), rotations, is_fast());
  const std::vector<at::Tensor> key_value = wkv_b_->call(kv_norm_->call(latent[0]))
                                                .view({batch, length, -1, nope_dim_ + v_dim_})
                                                .split_with_sizes({nope_dim_, v_dim_}, -1);
  const at::Tensor key =
      at::cat({key_value[0], key_position.expand({-1, -1, key_value[0].size(2), -1})}, -1);

  nn::Inputs qkv({query.transpose(1, 2), key.transpose(1, 2), key_value[1].transpose(1, 2)},
                 sequence);
  if (cache != nullptr) {
    std::tie(qkv.tensors[1], qkv.tensors[2]) = cache->append(qkv.at(1), qkv.at(2));
  }
  const at::Tensor output = (*inner_attention_)(qkv).at(0);
  return {wo_->call(output.view({batch, length, -1}))};
}

}  // namespace titan::models::deepseek_v3
