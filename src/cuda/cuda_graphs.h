#pragma once

#include <memory>

#include "titan/tools/device_graph.h"

namespace titan::cuda {

/// Captures CUDA graphs on the GPU `index`, in LibTorch's private memory pools.
std::unique_ptr<tools::GraphCapture> make_graph_capture(int index);

}  // namespace titan::cuda
