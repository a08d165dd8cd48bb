#pragma once

#include "titan/models/llama3/args.h"
#include "titan/protocols/name_table_adapter.h"

namespace titan::models::llama3 {

/// Llama 3 and Hugging Face's `LlamaForCausalLM`. Of each head's rows in the query and key projections
/// ours rotates neighbours together, theirs the two halves: row 2j + p of a head is their row
/// p·(head_dim / 2) + j. All else differs by name only.
class LlamaStateDictAdapter : public protocols::NameTableAdapter {
 public:
  explicit LlamaStateDictAdapter(const TransformerModelArgs& args);

  at::Tensor to_hf(const std::string& name, const std::vector<at::Tensor>& sources) const override;
  std::vector<protocols::TensorSlice> hf_slices(const protocols::TensorSlice& ours) const override;
  at::Tensor from_hf(const protocols::TensorSlice& ours,
                     const std::vector<at::Tensor>& slices) const override;
  protocols::ConfigDifferences compare_config(const std::string& config_json) const override;
  std::string hf_config(const std::string& torch_dtype, bool tied) const override;

 private:
  TransformerModelArgs args_;
  std::int64_t head_dim_;
};

}  // namespace titan::models::llama3
