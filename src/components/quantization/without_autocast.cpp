#include "titan/components/quantization/without_autocast.h"

#include <ATen/autocast_mode.h>

namespace titan::components {

at::Tensor in_autocast_type(const at::Tensor& x) {
  const at::DeviceType device = x.device().type();
  if (!at::autocast::is_autocast_available(device) || !at::autocast::is_autocast_enabled(device)) {
    return x;
  }
  return x.to(at::autocast::get_autocast_dtype(device));
}

}  // namespace titan::components
