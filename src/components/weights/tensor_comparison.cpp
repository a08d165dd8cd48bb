#include "components/weights/tensor_comparison.h"

#include <c10/util/ArrayRef.h>

#include "components/weights/name_list.h"
#include "titan/base/errors.h"

namespace titan::components {

void TensorComparison::add_sizes(const std::string& name, const std::vector<std::int64_t>& there,
                                 const std::vector<std::int64_t>& needed) {
  other_sizes.push_back(
      concat(name, " (", c10::IntArrayRef(there), ", needed is ", c10::IntArrayRef(needed), ")"));
}

void TensorComparison::check(const std::string& format) const {
  std::string problems;
  const auto add = [&](const char* what, const std::vector<std::string>& names) {
    if (!names.empty()) problems += concat("\n  ", what, ": ", list_names(names));
  };
  add("missing", missing);
  add("not of this model", unknown);
  add("needed for two tensors", twice);
  add("of other sizes", other_sizes);
  if (!problems.empty()) {
    throw RunError(concat("The ", format,
                          " weights are not those of this model. Do flavor and "
                          "vocabulary match?",
                          problems));
  }
}

}  // namespace titan::components
