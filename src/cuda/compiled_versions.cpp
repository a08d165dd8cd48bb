#include <cuda.h>
#include <nccl.h>
#if __has_include(<cudnn_version.h>)
#include <cudnn_version.h>
#endif

#include "titan/cuda/versions.h"

namespace titan::cuda {

Versions compiled_versions() {
#ifdef CUDNN_VERSION
  const std::string cudnn = cudnn_version_text(CUDNN_VERSION);
#else
  const std::string cudnn = "as LibTorch brings it";
#endif
  return {{"CUDA", cuda_version_text(CUDA_VERSION)},
          {"cuDNN", cudnn},
          {"NCCL", nccl_version_text(NCCL_VERSION_CODE)}};
}

}  // namespace titan::cuda
