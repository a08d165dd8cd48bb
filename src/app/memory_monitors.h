#pragma once

#include <memory>

#include "titan/protocols/metrics.h"
#include "titan/tools/accelerator.h"

namespace titan::app {

/// Watches a GPU's allocator, or without a GPU (`accelerator` null) the resident memory of the
/// process.
std::unique_ptr<protocols::MemoryMonitor> make_memory_monitor(tools::Accelerator* accelerator,
                                                              int device_index);

}  // namespace titan::app
