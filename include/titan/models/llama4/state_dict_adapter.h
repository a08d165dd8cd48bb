#pragma once

#include "titan/models/llama4/args.h"
#include "titan/protocols/name_table_adapter.h"

namespace titan::models::llama4 {

/// Llama 4 and Hugging Face's `Llama4ForCausalLM`; of `Llama4ForConditionalGeneration`, whose names have "language_model." in front,
/// the text model is read. Experts are transposed there, and their `w1` and `w3` lie behind each other in one tensor. All else
/// differs by name only: both rotate adjacent pairs.
class Llama4StateDictAdapter : public protocols::NameTableAdapter {
 public:
  explicit Llama4StateDictAdapter(const TransformerModelArgs& args);

  std::vector<protocols::HfTensor> hf_tensors(
      const std::vector<protocols::TensorShape>& ours) const override;
  at::Tensor to_hf(const std::string& name, const std::vector<at::Tensor>& sources) const override;
  std::vector<protocols::TensorSlice> hf_slices(const protocols::TensorSlice& ours) const override;
  at::Tensor from_hf(const protocols::TensorSlice& ours,
                     const std::vector<at::Tensor>& slices) const override;
  std::string known_name(const std::string& hf_name) const override;
  bool is_ignored(const std::string& hf_name) const override;
  protocols::ConfigDifferences compare_config(const std::string& config_json) const override;
  std::string hf_config(const std::string& torch_dtype, bool tied) const override;

 private:
  TransformerModelArgs args_;
};

}  // namespace titan::models::llama4
