#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace titan::protocols {

/// What an optimizer keeps of one parameter and how it treats it, by PyTorch's names.
struct ParameterState {
  using Setting = std::variant<bool, double, std::pair<double, double>>;

  std::string parameter;  // fully qualified: "layers.0.attention.wq.weight"
  /// As ("exp_avg", a tensor of the parameter's sizes) or ("step", of no dimension). To be read or to
  /// be filled.
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  /// As ("lr", 3e-4), ("betas", (0.9, 0.95)), ("amsgrad", false): those of the coming step.
  std::vector<std::pair<std::string, Setting>> settings;
};

}  // namespace titan::protocols
