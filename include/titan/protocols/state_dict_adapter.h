#pragma once

#include <map>
#include <string>

#include "titan/nn/module.h"

namespace titan::protocols {

/// Renames and reshapes a model's full tensors between our names and Hugging Face's.
class StateDictAdapter {
 public:
  using StateDict = std::map<std::string, at::Tensor>;
  virtual ~StateDictAdapter() = default;
  virtual StateDict to_hf(const StateDict& state) const = 0;
  virtual StateDict from_hf(const StateDict& state) const = 0;
};

}  // namespace titan::protocols
