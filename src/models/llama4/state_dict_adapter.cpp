#include "titan/models/llama4/state_dict_adapter.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <utility>

#include "titan/base/errors.h"

namespace titan::models::llama4 {

namespace {

using protocols::HfTensor;
using protocols::TensorShape;
using protocols::TensorSlice;

constexpr std::string_view kTextModel = "language_model.";

const std::vector<protocols::NameRule>& rules() {
  static const std::vector<protocols::NameRule> kRules = {
      {"model.embed_tokens.weight", "tok_embeddings.weight"},
      {"model.layers.{}.self_attn.q_proj.weight", "layers.{}.attention.wq.weight"},
      {"model.layers.{}.self_attn.k_proj.weight", "layers.{}.attention.wk.weight"},
      {"model.layers.{}.self_attn.v_proj.weight", "layers.{}.attention.wv.weight"},
      {"model.layers.{}.self_attn.o_proj.weight", "layers.{}.attention.wo.weight"},
      {"model.layers.{}.feed_forward.gate_proj.weight", "layers.{}.feed_forward.w1.weight"},
      {"model.layers.{}.feed_forward.down_proj.weight", "layers.{}.feed_forward.w2.weight"},
      {"model.layers.{}.feed_forward.up_proj.weight", "layers.{}.feed_forward.w3.weight"},
      {"model.layers.{}.feed_forward.router.weight", "layers.{}.moe.router.gate.weight"},
      {"model.layers.{}.feed_forward.experts.gate_up_proj", "layers.{}.moe.experts.w1"},
      {"model.layers.{}.feed_forward.experts.down_proj", "layers.{}.moe.experts.w2"},
      {"model.layers.{}.feed_forward.experts.gate_up_proj", "layers.{}.moe.experts.w3"},
      {"model.layers.{}.feed_forward.shared_expert.gate_proj.weight",
       "layers.{}.moe.shared_experts.w1.weight"},
      {"model.layers.{}.feed_forward.shared_expert.down_proj.weight",
       "layers.{}.moe.shared_experts.w2.weight"},
      {"model.layers.{}.feed_forward.shared_expert.up_proj.weight",
       "layers.{}.moe.shared_experts.w3.weight"},
      {"", "layers.{}.moe.expert_bias"},
      {"model.layers.{}.input_layernorm.weight", "layers.{}.attention_norm.weight"},
      {"model.layers.{}.post_attention_layernorm.weight", "layers.{}.ffn_norm.weight"},
      {"model.norm.weight", "norm.weight"},
      {"lm_head.weight", "output.weight"},
  };
  return kRules;
}

bool is_experts(const std::string& ours, std::string_view matrix) {
  return ours.ends_with(std::string(".moe.experts.").append(matrix));
}
bool is_experts(const std::string& ours) { return ours.find(".moe.experts.") != std::string::npos; }
bool is_gate_up(const std::string& hf_name) { return hf_name.ends_with(".gate_up_proj"); }

/// [experts, out, in] there is [experts, in, out].
at::Tensor transposed(const at::Tensor& experts) { return experts.transpose(1, 2); }

std::vector<std::int64_t> transposed(std::vector<std::int64_t> sizes) {
  std::swap(sizes.at(1), sizes.at(2));
  return sizes;
}

std::string with_last(std::string name, char last) {
  name.back() = last;
  return name;
}

}  // namespace

Llama4StateDictAdapter::Llama4StateDictAdapter(const TransformerModelArgs& args)
    : NameTableAdapter("Llama 4", rules(), /*tied=*/false), args_(args) {}

std::vector<HfTensor> Llama4StateDictAdapter::hf_tensors(
    const std::vector<TensorShape>& ours) const {
  std::vector<HfTensor> tensors = NameTableAdapter::hf_tensors(ours);
  // w3 is the second half of what w1 is the first of.
  std::erase_if(tensors,
                [](const HfTensor& tensor) { return is_experts(tensor.sources.at(0), "w3"); });
  for (HfTensor& tensor : tensors) {
    if (!is_experts(tensor.sources.at(0))) continue;
    tensor.sizes = transposed(tensor.sizes);
    if (!is_gate_up(tensor.name)) continue;
    tensor.sizes.at(2) *= 2;
    tensor.sources.push_back(with_last(tensor.sources.at(0), '3'));
  }
  return tensors;
}

at::Tensor Llama4StateDictAdapter::to_hf(const std::string& name,
                                         const std::vector<at::Tensor>& sources) const {
  if (is_gate_up(name)) return at::cat({transposed(sources.at(0)), transposed(sources.at(1))}, 2);
  const at::Tensor tensor = NameTableAdapter::to_hf(name, sources);
  return is_experts(in_ours(name).name) ? transposed(tensor) : tensor;
}

std::vector<TensorSlice> Llama4StateDictAdapter::hf_slices(const TensorSlice& ours) const {
  std::vector<TensorSlice> slices = NameTableAdapter::hf_slices(ours);
  if (is_experts(ours.name)) {
    TensorSlice& slice = slices.at(0);
    slice.offsets = transposed(slice.offsets);
    slice.sizes = transposed(slice.sizes);
    if (is_experts(ours.name, "w3")) slice.offsets[2] += args_.expert_hidden_dim();
  }
  return slices;
}

at::Tensor Llama4StateDictAdapter::from_hf(const TensorSlice& ours,
                                           const std::vector<at::Tensor>& slices) const {
  const at::Tensor tensor = NameTableAdapter::from_hf(ours, slices);
  return is_experts(ours.name) ? transposed(tensor) : tensor;
}

std::string Llama4StateDictAdapter::known_name(const std::string& hf_name) const {
  return hf_name.starts_with(kTextModel) ? hf_name.substr(kTextModel.size()) : hf_name;
}

bool Llama4StateDictAdapter::is_ignored(const std::string& hf_name) const {
  return hf_name.starts_with("vision_model.") || hf_name.starts_with("multi_modal_projector.") ||
         NameTableAdapter::is_ignored(hf_name);
}

}  // namespace titan::models::llama4
