#pragma once

#include "titan/models/qwen3/args.h"
#include "titan/protocols/name_table_adapter.h"

namespace titan::models::qwen3 {

/// Qwen 3 and Hugging Face's `Qwen3ForCausalLM` and `Qwen3MoeForCausalLM`. Both rotate the halves of a head, so that all differs by name
/// only, and experts have a tensor each there.
class Qwen3StateDictAdapter : public protocols::NameTableAdapter {
 public:
  explicit Qwen3StateDictAdapter(const Qwen3ModelArgs& args);

  protocols::ConfigDifferences compare_config(const std::string& config_json) const override;
  std::string hf_config(const std::string& torch_dtype, bool tied) const override;

 private:
  Qwen3ModelArgs args_;
};

}  // namespace titan::models::qwen3
