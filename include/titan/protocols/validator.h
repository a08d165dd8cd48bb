#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "titan/protocols/model.h"

namespace titan::protocols {

/// Measures the loss on held-out data between training steps.
class Validator {
 public:
  virtual ~Validator() = default;
  virtual bool should_validate(std::int64_t step) const = 0;
  virtual void validate(const std::vector<std::unique_ptr<ModelProtocol>>& model_parts,
                        std::int64_t step) = 0;
};

}  // namespace titan::protocols
