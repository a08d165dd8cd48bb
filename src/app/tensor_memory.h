#pragma once

namespace titan::app {

/// Has LibTorch take the memory of large CPU tensors from a heap of ours (`tools::BestFitHeap`), for good. Not in builds with
/// sanitizers, which watch the C library's blocks.
void keep_tensors_in_a_heap_of_their_own();

}  // namespace titan::app
