#pragma once

#include <functional>
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

/// Whether the pattern is found in a name. Takes time in proportion to the name's length for any
/// pattern; hence patterns with back references are none. Throws ConfigError for what is not a
/// regular expression.
std::function<bool(const std::string& name)> compile_pattern(const std::string& pattern);

}  // namespace titan::config
