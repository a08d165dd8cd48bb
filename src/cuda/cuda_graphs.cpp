#include "cuda/cuda_graphs.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

namespace titan::cuda {

namespace {

class CudaGraph : public tools::DeviceGraph {
 public:
  void replay() override { graph_.replay(); }

  void capture(at::cuda::MempoolId_t pool, const std::function<void()>& work) {
    // Other threads may allocate meanwhile, as a checkpoint that is being written does. What autograd's thread launches
    // on the stream is captured all the same.
    graph_.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      abandon();
      throw;
    }
    graph_.capture_end();
  }

 private:
  /// Or nothing can be done on the stream any more.
  void abandon() noexcept try {
    graph_.capture_end();
  } catch (...) {  // the capture was over already: what `work` has thrown says why
    static_cast<void>(cudaGetLastError());
  }

  at::cuda::CUDAGraph graph_;
};

class CudaGraphCapture : public tools::GraphCapture {
 public:
  explicit CudaGraphCapture(int index)
      : device_(static_cast<c10::DeviceIndex>(index)), pool_(at::cuda::graph_pool_handle()) {}

  std::unique_ptr<tools::DeviceGraph> capture(const std::function<void()>& work) override {
    const c10::cuda::CUDAGuard guard(device_);
    // The pool is another than that of the steps before, which keeps what they have freed; and nothing is given back to
    // the driver during a capture.
    c10::cuda::device_synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();
    auto graph = std::make_unique<CudaGraph>();
    graph->capture(pool_, work);
    return graph;
  }

 private:
  c10::DeviceIndex device_;
  at::cuda::MempoolId_t pool_;
};

}  // namespace

std::unique_ptr<tools::GraphCapture> make_graph_capture(int index) {
  return std::make_unique<CudaGraphCapture>(index);
}

}  // namespace titan::cuda
