// The CUDA half of titan_train, a library of its own so that machines without a GPU never load
// LibTorch's CUDA libraries.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <nccl.h>
#include <torch/csrc/cuda/memory_snapshot.h>

#include <fstream>

#include "cuda/cuda_graphs.h"
#include "titan/base/errors.h"
#include "titan/cuda/usability.h"
#include "titan/cuda/versions.h"
#include "titan/tools/accelerator.h"

namespace titan::cuda {

namespace {

using c10::CachingAllocator::StatType;
using c10::cuda::CUDACachingAllocator::getDeviceStats;

constexpr auto kAllPools = static_cast<std::size_t>(StatType::AGGREGATE);

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw RunError(concat(what, ": ", cudaGetErrorString(status)));
}

DriverState driver_state(cudaError_t status) {
  DriverState state;
  state.error = status;
  state.error_text = cudaGetErrorString(status);
  state.too_old = status == cudaErrorInsufficientDriver;
  int version = 0;
  if (cudaDriverGetVersion(&version) == cudaSuccess) state.driver_cuda = version;
  state.needed_cuda = CUDART_VERSION;
  std::ifstream("/sys/module/nvidia/version") >> state.kernel_driver;
  return state;
}

class CudaAccelerator : public tools::Accelerator {
 public:
  std::string why_unusable() const override {
    // Not LibTorch's own count, which takes every error for no GPU.
    int gpus = 0;
    const cudaError_t status = cudaGetDeviceCount(&gpus);
    if (status == cudaErrorNoDevice) return {};
    if (status != cudaSuccess) return driver_problem(driver_state(status));
    int nccl = 0;
    ncclGetVersion(&nccl);
    Dl_info origin{};
    dladdr(reinterpret_cast<void*>(&ncclGetVersion), &origin);
    return nccl_problem(NCCL_VERSION_CODE, nccl,
                        origin.dli_fname == nullptr ? "?" : origin.dli_fname);
  }

  int device_count() const override { return c10::cuda::device_count(); }

  tools::DeviceFacts facts(int index) const override {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index), "cannot ask the GPU for its properties");
    return {"cuda", properties.name, properties.totalGlobalMem,
            properties.major * 10 + properties.minor};
  }

  tools::DeviceMemory peak_memory(int index) const override {
    const auto stats = getDeviceStats(static_cast<c10::DeviceIndex>(index));
    tools::DeviceMemory memory;
    memory.peak_active_bytes = static_cast<std::uint64_t>(stats.active_bytes[kAllPools].peak);
    memory.peak_reserved_bytes = static_cast<std::uint64_t>(stats.reserved_bytes[kAllPools].peak);
    memory.total_bytes = facts(index).total_memory_bytes;
    memory.alloc_retries = stats.num_alloc_retries;
    memory.ooms = stats.num_ooms;
    return memory;
  }

  void reset_peak_memory(int index) override {
    c10::cuda::CUDACachingAllocator::resetPeakStats(static_cast<c10::DeviceIndex>(index));
  }

  void record_memory_history(std::size_t most_entries) override {
    torch::cuda::_record_memory_history("all", "all", "all", most_entries);
  }

  std::string memory_snapshot() override { return torch::cuda::_memory_snapshot_pickled(); }

  std::unique_ptr<tools::GraphCapture> make_graph_capture(int index) override {
    return cuda::make_graph_capture(index);
  }

  std::vector<std::pair<std::string, std::string>> versions() const override {
    int runtime = 0;
    int driver = 0;
    int nccl = 0;
    check(cudaRuntimeGetVersion(&runtime), "cannot ask for the CUDA version");
    check(cudaDriverGetVersion(&driver), "cannot ask for the driver's CUDA version");
    ncclGetVersion(&nccl);
    return {{"CUDA", cuda_version_text(runtime)},
            {"cuDNN", cudnn_version_text(at::detail::getCUDAHooks().versionRuntimeCuDNN())},
            {"NCCL", nccl_version_text(nccl)},
            {"driver", "for CUDA up to " + cuda_version_text(driver)}};
  }
};

}  // namespace

}  // namespace titan::cuda

extern "C" titan::tools::Accelerator* titan_create_cuda_accelerator() {
  static titan::cuda::CudaAccelerator accelerator;
  return &accelerator;
}
