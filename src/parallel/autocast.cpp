#include "titan/parallel/autocast.h"

#include <ATen/autocast_mode.h>

namespace titan::parallel {

AutocastScope::AutocastScope(c10::DeviceType device_type, bool enabled, c10::ScalarType dtype)
    : device_type_(device_type),
      outer_enabled_(at::autocast::is_autocast_enabled(device_type)),
      outer_dtype_(at::autocast::get_autocast_dtype(device_type)) {
  at::autocast::set_autocast_enabled(device_type, enabled);
  at::autocast::set_autocast_dtype(device_type, dtype);
  at::autocast::increment_nesting();
}

AutocastScope::~AutocastScope() {
  // The outermost scope drops the cached casts of weights, which are stale after the optimizer
  // step.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_type_, outer_enabled_);
  at::autocast::set_autocast_dtype(device_type_, outer_dtype_);
}

}  // namespace titan::parallel
