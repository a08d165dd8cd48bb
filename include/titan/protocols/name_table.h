#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace titan::protocols {

/// Two names of the same tensors; "{}" in both stands for the same number: {"model.layers.{}.mlp.up_proj.weight",
/// "layers.{}.feed_forward.w3.weight"}. A rule without our name is for tensors that we do not have.
struct NameRule {
  std::string_view hf;
  std::string_view ours;
};

/// A name on the other side, and the number of the rule that says so.
struct TranslatedName {
  std::string name;
  std::size_t rule = 0;
};

/// The name on the other side; nothing where no rule fits.
std::optional<TranslatedName> name_in_hf(const std::vector<NameRule>& rules, std::string_view ours);
/// Empty for a tensor that we do not have.
std::optional<TranslatedName> name_in_ours(const std::vector<NameRule>& rules, std::string_view hf);

}  // namespace titan::protocols
