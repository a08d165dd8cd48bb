#pragma once

#include "titan/models/deepseek_v3/args.h"
#include "titan/protocols/name_table_adapter.h"

namespace titan::models::deepseek_v3 {

/// DeepSeek V3 and Hugging Face's `DeepseekV3ForCausalLM`, which rotates neighbours together as ours does. Layers behind the last of
/// ours, which predict further tokens, are not read.
class DeepSeekV3StateDictAdapter : public protocols::NameTableAdapter {
 public:
  explicit DeepSeekV3StateDictAdapter(const DeepSeekV3ModelArgs& args);

  bool is_ignored(const std::string& hf_name) const override;
  protocols::ConfigDifferences compare_config(const std::string& config_json) const override;
  /// Empty for routers that are not those of V3.
  std::string hf_config(const std::string& torch_dtype, bool tied) const override;

 private:
  bool is_stretched() const { return args_.max_seq_len > args_.yarn.original_seq_len; }
  void compare_rope(const std::string& config_json, std::vector<std::string>& differences) const;

  DeepSeekV3ModelArgs args_;
};

}  // namespace titan::models::deepseek_v3
