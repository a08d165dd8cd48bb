#include "titan/models/llama3/state_dict_adapter.h"

namespace titan::models::llama3 {

namespace {

using protocols::NameRule;
using protocols::TensorSlice;

/// The first two are the ones whose rows are in another order.
const std::vector<NameRule>& rules() {
  static const std::vector<NameRule> kRules = {
      {"model.layers.{}.self_attn.q_proj.weight", "layers.{}.attention.wq.weight"},
      {"model.layers.{}.self_attn.k_proj.weight", "layers.{}.attention.wk.weight"},
      {"model.layers.{}.self_attn.v_proj.weight", "layers.{}.attention.wv.weight"},
      {"model.layers.{}.self_attn.o_proj.weight", "layers.{}.attention.wo.weight"},
      {"model.layers.{}.mlp.gate_proj.weight", "layers.{}.feed_forward.w1.weight"},
      {"model.layers.{}.mlp.down_proj.weight", "layers.{}.feed_forward.w2.weight"},
      {"model.layers.{}.mlp.up_proj.weight", "layers.{}.feed_forward.w3.weight"},
      {"model.layers.{}.input_layernorm.weight", "layers.{}.attention_norm.weight"},
      {"model.layers.{}.post_attention_layernorm.weight", "layers.{}.ffn_norm.weight"},
      {"model.embed_tokens.weight", "tok_embeddings.weight"},
      {"model.norm.weight", "norm.weight"},
      {"lm_head.weight", "output.weight"},
      {"model.layers.{}.self_attn.rotary_emb.inv_freq", ""},
      {"model.rotary_emb.inv_freq", ""},
  };
  return kRules;
}

bool is_rotated(const protocols::TranslatedName& name) { return name.rule < 2; }

/// Exchanges the two ways to order the rows of whole heads: `a` and `b` are (2, head_dim / 2) from
/// theirs to ours, (head_dim / 2, 2) back.
at::Tensor reorder_rows(const at::Tensor& rows, std::int64_t a, std::int64_t b) {
  const std::int64_t columns = rows.size(1);
  return rows.reshape({-1, a, b, columns}).transpose(1, 2).reshape({rows.size(0), columns});
}

}  // namespace

LlamaStateDictAdapter::LlamaStateDictAdapter(const TransformerModelArgs& args)
    : NameTableAdapter("Llama 3", rules(), args.enable_weight_tying),
      args_(args),
      head_dim_(args.dim / args.n_heads) {}

at::Tensor LlamaStateDictAdapter::to_hf(const std::string& name,
                                        const std::vector<at::Tensor>& sources) const {
  const at::Tensor tensor = NameTableAdapter::to_hf(name, sources);
  return is_rotated(in_ours(name)) ? reorder_rows(tensor, head_dim_ / 2, 2) : tensor;
}

/// Rows of ours lie anywhere in their heads of Hugging Face's: whole heads are read.
std::vector<TensorSlice> LlamaStateDictAdapter::hf_slices(const TensorSlice& ours) const {
  std::vector<TensorSlice> slices = NameTableAdapter::hf_slices(ours);
  if (is_rotated(in_hf(ours.name))) {
    const std::int64_t end = ours.offsets.at(0) + ours.sizes.at(0);
    TensorSlice& slice = slices.at(0);
    slice.offsets[0] = ours.offsets[0] / head_dim_ * head_dim_;
    slice.sizes[0] = (end + head_dim_ - 1) / head_dim_ * head_dim_ - slice.offsets[0];
  }
  return slices;
}

at::Tensor LlamaStateDictAdapter::from_hf(const TensorSlice& ours,
                                          const std::vector<at::Tensor>& slices) const {
  const at::Tensor tensor = NameTableAdapter::from_hf(ours, slices);
  if (!is_rotated(in_hf(ours.name))) return tensor;
  return reorder_rows(tensor, 2, head_dim_ / 2)
      .narrow(0, ours.offsets.at(0) % head_dim_, ours.sizes.at(0));
}

}  // namespace titan::models::llama3
