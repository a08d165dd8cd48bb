#pragma once

#include <string>
#include <vector>

namespace titan::components {

/// What a file's tensors and those that a model needs have not in common.
struct TensorComparison {
  std::vector<std::string> missing;
  std::vector<std::string> unknown;
  std::vector<std::string> twice;
  std::vector<std::string> other_sizes;  // "a ([2, 3], needed is [4, 3])"

  void add_sizes(const std::string& name, const std::vector<std::int64_t>& there,
                 const std::vector<std::int64_t>& needed);
  /// Throws RunError unless they agree. `format`: "Hugging Face".
  void check(const std::string& format) const;
};

}  // namespace titan::components
