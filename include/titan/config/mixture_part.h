#pragma once

#include <string>

namespace titan::config {

/// One `[[data.mixture]]` table: a source of training data and its share of the tokens.
struct MixturePart {
  /// A file or folder, as training.dataset_path.
  std::string path;
  /// Shares are in proportion to the weights, whatever these add up to.
  double weight = 1;
  /// A word of data.format; empty: that option's value.
  std::string format;

  bool operator==(const MixturePart&) const = default;
};

}  // namespace titan::config
