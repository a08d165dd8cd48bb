#pragma once

#include <string>
#include <vector>

#include "titan/nn/module.h"

namespace titan::parallel {

/// A module to which a line of a tensor-parallel plan has given a style.
struct StyledModule {
  std::string name;     // "layers.0.attention.wq"
  std::string modules;  // the line's pattern: "layers.*.attention.wq"
  std::string style;    // "Colwise"
  nn::Module* module = nullptr;
  /// What the style has cut or kept whole, by names within the module.
  std::vector<nn::NamedParameter> parameters;
  /// What is sent at its boundary, and what backward sends for it: "in: all-gather of dimension 1".
  std::vector<std::string> forward;
  std::vector<std::string> backward;
};

/// Is shown what a plan does to a model, one module after the other, as it is done: what the observer puts
/// around a module is around the plan's communication, and inside of all that is attached later.
class PlanObserver {
 public:
  virtual ~PlanObserver() = default;
  virtual void styled(const StyledModule& styled) = 0;
};

}  // namespace titan::parallel
