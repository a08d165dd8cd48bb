#include "titan/nn/attention.h"

#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <tuple>

#include "titan/base/errors.h"
#include "titan/nn/init.h"
#include "titan/nn/key_value_cache.h"
#include "titan/nn/rope.h"

namespace titan::nn {

namespace {

/// Attention inside packed documents: flash attention never forms the mask. Offsets are int32
/// `[documents + 1]`.
at::Tensor flash_packed(const Tensors& inputs) {
  const at::Tensor& query_bhsd = inputs[0];
  const at::Tensor& offsets = inputs[3];
  const auto longest = inputs[4].item<std::int64_t>();
  const auto packed = [](const at::Tensor& x) { return x.transpose(1, 2).flatten(0, 1); };
  const at::Tensor output = std::get<0>(at::_flash_attention_forward(
      packed(query_bhsd), packed(inputs[1]), packed(inputs[2]), offsets, offsets, longest, longest,
      /*dropout_p=*/0.0, /*is_causal=*/true,
      /*return_debug_mask=*/false));
  return output.view({query_bhsd.size(0), query_bhsd.size(2), query_bhsd.size(1), -1});
}

at::Tensor fused(const Tensors& inputs) {
  const bool has_mask = inputs.size() == 4;
  const bool is_causal = !has_mask && inputs[0].size(2) > 1;
  const bool is_grouped = inputs[0].size(1) != inputs[1].size(1);
  const std::optional<at::Tensor> mask = has_mask ? std::optional(inputs[3]) : std::nullopt;
  return at::scaled_dot_product_attention(inputs[0], inputs[1], inputs[2], mask, /*dropout_p=*/0.0,
                                          is_causal, /*scale=*/std::nullopt, is_grouped)
      .transpose(1, 2)
      .contiguous();
}

}  // namespace

Tensors InnerAttention::forward(const Tensors& inputs) {
  TITAN_CHECK(inputs.size() >= 3 && inputs.size() <= 5, "attention takes 3 to 5 tensors, got ",
              inputs.size());
  return {inputs.size() == 5 ? flash_packed(inputs) : fused(inputs)};
}

Attention::Attention(const AttentionArgs& args) : head_dim_(args.dim / args.n_heads) {
  const auto projection = [&](const char* name, std::int64_t in, std::int64_t out) {
    return add_child(name, std::make_unique<Linear>(in, out, args.dtype));
  };
  wq_ = projection("wq", args.dim, args.n_heads * head_dim_);
  wk_ = projection("wk", args.dim, args.n_kv_heads * head_dim_);
  wv_ = projection("wv", args.dim, args.n_kv_heads * head_dim_);
  wo_ = projection("wo", args.n_heads * head_dim_, args.dim);
  inner_attention_ = add_child("inner_attention", std::make_unique<InnerAttention>());
}

void Attention::init_weights(double output_std, at::Generator generator) {
  for (Linear* projection : {wq_, wk_, wv_}) trunc_normal_(projection->weight(), 0.02, generator);
  trunc_normal_(wo_->weight(), output_std, generator);
}

Tensors Attention::forward(const Tensors& inputs) {
  const at::Tensor& x_bsd = inputs.at(0);
  const at::Tensor& freqs_cis = inputs.at(1);
  const std::int64_t batch = x_bsd.size(0);
  const std::int64_t length = x_bsd.size(1);
  const auto heads = [&](Linear& projection) {
    return projection.call(x_bsd).view({batch, length, -1, head_dim_});
  };
  const at::Tensor query = heads(*wq_);
  const at::Tensor key = heads(*wk_);
  const at::Tensor value = heads(*wv_);
  const auto [query_rotated, key_rotated] = apply_rotary_emb(
      query, key, cache_ == nullptr ? freqs_cis : freqs_cis.slice(0, cache_->length()));

  Tensors qkv = attention_inputs(query_rotated.transpose(1, 2), key_rotated.transpose(1, 2),
                                 value.transpose(1, 2), inputs);
  const at::Tensor output = (*inner_attention_)(std::move(qkv)).at(0);
  return {wo_->call(output.view({batch, length, -1}))};
}

/// Queries, keys and values `[B, heads, S, d]`, the latter two with what the cache holds, and masks.
Tensors Attention::attention_inputs(const at::Tensor& query, const at::Tensor& key,
                                    const at::Tensor& value, const Tensors& inputs) {
  Tensors result = {query, key, value};
  if (cache_ == nullptr) {
    result.insert(result.end(), inputs.begin() + 2, inputs.end());
    return result;
  }
  const std::int64_t before = cache_->length();
  std::tie(result[1], result[2]) = cache_->append(key, value);
  const std::int64_t length = query.size(2);
  if (before > 0 && length > 1) {
    const auto allowed = query.options().dtype(at::kBool);
    result.push_back(at::ones({length, before + length}, allowed).tril(before));
  }
  return result;
}

}  // namespace titan::nn
