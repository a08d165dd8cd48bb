#pragma once

#include <unordered_set>

#include "titan/nn/linear.h"
#include "titan/parallel/linear_extension.h"

namespace titan::components {

/// The linear layers that a converter has given other products.
class ConvertedLinears : public parallel::LinearExtension {
 public:
  void add(nn::Module& linear) {
    static_cast<nn::Linear&>(linear).multiply_apart();
    linears_.insert(&linear);
  }
  bool multiplies(const nn::Module& linear) const override { return linears_.contains(&linear); }

 private:
  std::unordered_set<const nn::Module*> linears_;
};

}  // namespace titan::components
