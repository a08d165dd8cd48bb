#pragma once

#include <c10/core/Device.h>

#include <memory>

#include "titan/tools/device_graph.h"

namespace titan::test::rehearsal {

/// Graphs of a rehearsal device, as unforgiving as CUDA's: nothing of what is captured is done; who waits for the stream, orders
/// it with another one, copies from or to the host or asks for random numbers is told so; a replay gives garbage back to
/// all memory that was allocated in the capture, and knows of no other tensor where it has gone.
std::unique_ptr<tools::GraphCapture> make_graph_capture(at::Device device);

}  // namespace titan::test::rehearsal
