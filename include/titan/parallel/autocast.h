#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

namespace titan::parallel {

/// Runs matrix products in a half type while it lives, on this thread; the twin of torch.autocast.
class AutocastScope {
 public:
  AutocastScope(c10::DeviceType device_type, bool enabled, c10::ScalarType dtype);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  c10::DeviceType device_type_;
  bool outer_enabled_;
  c10::ScalarType outer_dtype_;
};

}  // namespace titan::parallel
