#pragma once

#include <optional>
#include <string>

namespace titan::config {

/// One `[[optimizer.param_groups]]` table: what parameters whose name matches do differently. A
/// parameter belongs to the first group that matches it, or to none.
struct ParamGroup {
  /// ECMAScript regular expression, searched anywhere in the fully qualified parameter name.
  std::string pattern;
  /// Replaces optimizer.weight_decay.
  std::optional<double> weight_decay;
  /// Multiplies the learning rate.
  std::optional<double> lr_scale;

  bool operator==(const ParamGroup&) const = default;
};

}  // namespace titan::config
