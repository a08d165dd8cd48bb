#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace titan::protocols {

/// Two names of the same tensors; "{}" stands for a number, the first in one name for that of the first in the other:
/// {"model.layers.{}.mlp.up_proj.weight", "layers.{}.feed_forward.w3.weight"}. A rule without one of the names is for
/// tensors that this side does not have.
struct NameRule {
  std::string_view hf;
  std::string_view ours;
};

/// A name on the other side, the number of the rule that says so, and what stood for "{}". A "{}" of the other side's
/// without a number in the name that was translated is left as it is.
struct TranslatedName {
  std::string name;
  std::size_t rule = 0;
  std::vector<std::string> numbers = {};
};

/// The name on the other side; nothing where no rule fits.
std::optional<TranslatedName> name_in_hf(const std::vector<NameRule>& rules, std::string_view ours);
/// Empty for a tensor that we do not have.
std::optional<TranslatedName> name_in_ours(const std::vector<NameRule>& rules, std::string_view hf);

}  // namespace titan::protocols
