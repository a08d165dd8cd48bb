#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "titan/nn/parameter.h"

namespace titan::parallel {

/// Has FSDP gather something else in the place of some parameters, one byte for an element: weights in float8. Modules
/// see a tensor of the parameter's sizes and type whose contents mean nothing; it is there for gradients. Who multiplies reads
/// what was gathered. The twin of PyTorch's fsdp_pre_all_gather and fsdp_post_all_gather.
class FsdpExtension {
 public:
  virtual ~FsdpExtension() = default;

  /// Whether a parameter, which is cut along its rows, is gathered so.
  virtual bool gathers_bytes(const nn::Parameter& parameter) const = 0;

  /// What a rank sends of a parameter.
  struct Part {
    const nn::Parameter* parameter;
    at::Tensor shard;  // where modules compute, of the parameter's type
    at::Tensor bytes;  // uint8 `[elements of shard]`, to be filled
  };
  /// Of one unit, before each of its all-gathers. All ranks of the unit call it together.
  virtual void pre_all_gather(const std::vector<Part>& parts) = 0;

  /// Where the whole of a parameter will be, once: uint8, of its sizes. The tensor stays; its memory comes and goes with the
  /// unit's.
  virtual void post_all_gather(const nn::Parameter& parameter, const at::Tensor& bytes) = 0;
};

}  // namespace titan::parallel
