#pragma once

#include <ATen/core/Tensor.h>

namespace titan::parallel {

/// A CPU tensor that a GPU copies from and to while the host does something else: page-locked. Where the system has no more
/// memory to lock, pageable memory, for whose copies the host waits; the log says so once.
at::Tensor empty_page_locked(at::IntArrayRef sizes, at::ScalarType dtype);

}  // namespace titan::parallel
