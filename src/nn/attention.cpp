#include "titan/nn/attention.h"

#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <optional>
#include <tuple>
#include <variant>

#include "titan/base/errors.h"
#include "titan/kernels/attention.h"
#include "titan/kernels/products.h"
#include "titan/nn/init.h"
#include "titan/nn/key_value_cache.h"
#include "titan/nn/rope.h"

namespace titan::nn {

/// Attention inside packed documents: flash attention never forms the mask.
at::Tensor InnerAttention::attend(const Inputs& inputs, const PackedDocuments& documents) const {
  const at::Tensor& query_bhsd = inputs.at(0);
  const auto packed = [](const at::Tensor& x) { return x.transpose(1, 2).flatten(0, 1); };
  const at::Tensor output = std::get<0>(at::_flash_attention_forward(
      packed(query_bhsd), packed(inputs.at(1)), packed(inputs.at(2)), documents.offsets,
      documents.offsets, documents.longest, documents.longest,
      /*dropout_p=*/0.0, /*is_causal=*/true,
      /*return_debug_mask=*/false, scale_));
  return output.view({query_bhsd.size(0), query_bhsd.size(2), query_bhsd.size(1), -1});
}

at::Tensor InnerAttention::fused(const Inputs& inputs, const std::optional<at::Tensor>& allowed,
                                 bool is_causal) const {
  const bool is_grouped = inputs.at(0).size(1) != inputs.at(1).size(1);
  const std::int64_t width = inputs.at(0).size(-1);
  at::Tensor value = inputs.at(2);
  const std::int64_t value_width = value.size(-1);
  // The CPU's fused kernel is for equal widths; without it the scores of all pairs of tokens are kept. Where nothing is
  // masked but the future, that is how the reference's numbers come about.
  const bool pads = allowed && value.is_cpu() && value_width < width;
  if (pads) value = at::constant_pad_nd(value, {0, width - value_width});
  at::Tensor output =
      at::scaled_dot_product_attention(inputs.at(0), inputs.at(1), value, allowed,
                                       /*dropout_p=*/0.0, is_causal, scale_, is_grouped);
  if (pads) output = output.narrow(-1, 0, value_width);
  return output.transpose(1, 2).contiguous();
}

at::Tensor InnerAttention::attend(const Inputs& inputs, const AllowedMask& mask) const {
  return fused(inputs, mask.allowed, /*is_causal=*/false);
}

at::Tensor InnerAttention::attend(const Inputs& inputs, const CausalMask&) const {
  const std::int64_t queries = inputs.at(0).size(2);
  const std::int64_t keys = inputs.at(1).size(2);
  if (queries == 1 || queries == keys) return fused(inputs, std::nullopt, queries > 1);
  // LibTorch aligns a causal mask with the first keys; these queries are those of the last.
  const auto allowed = inputs.at(0).options().dtype(at::kBool);
  return fused(inputs, at::ones({queries, keys}, allowed).tril(keys - queries), false);
}

namespace {

/// What the fast path takes of a mask; nothing: it is not for it.
std::optional<kernels::AttentionOptions> options_of(const AttentionMask& mask,
                                                    std::optional<double> scale) {
  kernels::AttentionOptions options;
  options.scale = scale;
  if (std::holds_alternative<CausalMask>(mask)) {
    options.is_causal = true;
  } else if (const auto* some = std::get_if<AllowedMask>(&mask)) {
    options.allowed = some->allowed;
  } else {
    return std::nullopt;
  }
  return options;
}

/// A single query, of a text that is being written, has no tiles to share keys in.
bool gains(const Inputs& inputs) {
  return inputs.at(0).size(2) > 1 &&
         (inputs.at(0).scalar_type() == at::kFloat ||
          kernels::products() == kernels::Products::kSplit) &&
         kernels::takes_attention(inputs.at(0), inputs.at(1), inputs.at(2));
}

}  // namespace

bool InnerAttention::goes_fast(const Inputs& inputs) const { return is_fast() && gains(inputs); }

Tensors InnerAttention::forward(const Inputs& inputs) {
  if (goes_fast(inputs)) {
    const auto options = options_of(inputs.sequence ? inputs.sequence->mask : CausalMask{}, scale_);
    if (options) {
      return {kernels::attention(inputs.at(0), inputs.at(1), inputs.at(2), *options).output};
    }
  }
  if (!inputs.sequence) return {attend(inputs, CausalMask{})};
  return {
      std::visit([&](const auto& kind) { return attend(inputs, kind); }, inputs.sequence->mask)};
}

Attention::Attention(const AttentionArgs& args)
    : head_dim_(args.head_dim != 0 ? args.head_dim : args.dim / args.n_heads),
      blocks_(args.blocks) {
  if (args.qk_norm_eps) {
    const auto norm = [&] {
      return std::make_unique<RMSNorm>(head_dim_, *args.qk_norm_eps, args.dtype);
    };
    q_norm_ = add_child("q_norm", norm());
    k_norm_ = add_child("k_norm", norm());
  }
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
  for (RMSNorm* norm : {q_norm_, k_norm_}) {
    if (norm != nullptr) norm->reset_parameters();
  }
}

std::pair<at::Tensor, at::Tensor> Attention::rotate(const at::Tensor& query, const at::Tensor& key,
                                                    const Inputs& inputs,
                                                    std::int64_t first) const {
  const at::Tensor& table = inputs.at(1);
  if (!table.defined()) return {query, key};
  const at::Tensor positions = inputs.sequence ? inputs.sequence->positions : at::Tensor();
  const at::Tensor rotations = rotations_of(table, positions, first, query.size(1));
  return apply_rotary_emb(query, key, rotations, is_fast());
}

Tensors Attention::forward(const Inputs& inputs) {
  const at::Tensor& x_bsd = inputs.at(0);
  const std::int64_t batch = x_bsd.size(0);
  const std::int64_t length = x_bsd.size(1);
  std::vector<at::Tensor> heads = call_together({wq_, wk_, wv_}, x_bsd);
  for (at::Tensor& projected : heads) projected = projected.view({batch, length, -1, head_dim_});
  at::Tensor query = heads[0];
  at::Tensor key = heads[1];
  const at::Tensor& value = heads[2];
  if (q_norm_ != nullptr) {
    query = q_norm_->call(query);
    key = k_norm_->call(key);
  }
  const SharedSequence& sequence = inputs.sequence;
  KeyValueCache* cache = sequence && sequence->caches ? &sequence->caches->of(*this) : nullptr;
  const auto [query_rotated, key_rotated] =
      rotate(query, key, inputs, cache != nullptr ? cache->length() : 0);

  Inputs qkv({query_rotated.transpose(1, 2), key_rotated.transpose(1, 2), value.transpose(1, 2)},
             sequence);
  if (cache != nullptr) {
    std::tie(qkv.tensors[1], qkv.tensors[2]) = cache->append(qkv.at(1), qkv.at(2));
  }
  if (blocks_) {
    qkv.sequence = blocks_->confine(sequence, batch, length, qkv.at(1).size(2), x_bsd.device());
  }
  const at::Tensor output = (*inner_attention_)(qkv).at(0);
  return {wo_->call(output.view({batch, length, -1}))};
}

}  // namespace titan::nn
