#include "titan/models/llama3/state_dict_adapter.h"

#include "titan/base/errors.h"
#include "titan/protocols/name_table.h"

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

bool is_rotated(std::size_t rule) { return rule < 2; }

protocols::TranslatedName in_hf(const std::string& ours) {
  const auto name = protocols::name_in_hf(rules(), ours);
  TITAN_CHECK(name, "no Hugging Face name for '", ours, "'");
  return *name;
}

/// Exchanges the two ways to order the rows of whole heads: `a` and `b` are (2, head_dim / 2) from
/// theirs to ours, (head_dim / 2, 2) back.
at::Tensor reorder_rows(const at::Tensor& rows, std::int64_t a, std::int64_t b) {
  const std::int64_t columns = rows.size(1);
  return rows.reshape({-1, a, b, columns}).transpose(1, 2).reshape({rows.size(0), columns});
}

}  // namespace

LlamaStateDictAdapter::LlamaStateDictAdapter(const TransformerModelArgs& args)
    : args_(args), head_dim_(args.dim / args.n_heads) {}

std::vector<protocols::HfTensor> LlamaStateDictAdapter::hf_tensors(
    const std::vector<protocols::TensorShape>& ours) const {
  std::vector<protocols::HfTensor> result;
  std::string unknown;
  for (const protocols::TensorShape& tensor : ours) {
    if (const auto name = protocols::name_in_hf(rules(), tensor.name)) {
      result.push_back({name->name, tensor.sizes, {tensor.name}});
    } else {
      unknown += (unknown.empty() ? "" : ", ") + tensor.name;
    }
  }
  if (!unknown.empty()) {
    throw RunError(concat(
        "no tensors of a Llama 3 model, so that Hugging Face has no names for them: ", unknown));
  }
  return result;
}

at::Tensor LlamaStateDictAdapter::to_hf(const std::string& name,
                                        const std::vector<at::Tensor>& sources) const {
  const auto ours = protocols::name_in_ours(rules(), name);
  TITAN_CHECK(ours && sources.size() == 1, "no tensor of ours for '", name, "'");
  return is_rotated(ours->rule) ? reorder_rows(sources[0], head_dim_ / 2, 2) : sources[0];
}

/// Rows of ours lie anywhere in their heads of Hugging Face's: whole heads are read.
std::vector<TensorSlice> LlamaStateDictAdapter::hf_slices(const TensorSlice& ours) const {
  const protocols::TranslatedName name = in_hf(ours.name);
  TensorSlice slice{name.name, ours.offsets, ours.sizes};
  if (is_rotated(name.rule)) {
    const std::int64_t end = ours.offsets.at(0) + ours.sizes.at(0);
    slice.offsets[0] = ours.offsets[0] / head_dim_ * head_dim_;
    slice.sizes[0] = (end + head_dim_ - 1) / head_dim_ * head_dim_ - slice.offsets[0];
  }
  return {slice};
}

at::Tensor LlamaStateDictAdapter::from_hf(const TensorSlice& ours,
                                          const std::vector<at::Tensor>& slices) const {
  TITAN_CHECK(slices.size() == 1, "one slice makes '", ours.name, "'");
  if (!is_rotated(in_hf(ours.name).rule)) return slices[0];
  return reorder_rows(slices[0], 2, head_dim_ / 2)
      .narrow(0, ours.offsets.at(0) % head_dim_, ours.sizes.at(0));
}

bool LlamaStateDictAdapter::is_ignored(const std::string& hf_name) const {
  const auto ours = protocols::name_in_ours(rules(), hf_name);
  return ours && ours->name.empty();
}

std::optional<std::string> LlamaStateDictAdapter::stand_in(const std::string& hf_name) const {
  if (hf_name != "lm_head.weight") return std::nullopt;
  return "model.embed_tokens.weight";
}

}  // namespace titan::models::llama3
