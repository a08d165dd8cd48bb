#include "titan/cuda/versions.h"

namespace titan::cuda {

Versions compiled_versions() {
  return {{"CUDA", "not built in"}, {"cuDNN", "not built in"}, {"NCCL", "not built in"}};
}

}  // namespace titan::cuda
