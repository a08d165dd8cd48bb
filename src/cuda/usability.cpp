#include "titan/cuda/usability.h"

#include "titan/base/errors.h"
#include "titan/cuda/versions.h"

namespace titan::cuda {

namespace {

/// The oldest driver that knows a CUDA of this major version; NVIDIA's table of minor version
/// compatibility.
std::string oldest_driver(long cuda) {
  switch (cuda / 1000) {
    case 11:
      return "450";
    case 12:
      return "525";
    case 13:
      return "580";
    default:
      return {};
  }
}

}  // namespace

std::string driver_problem(const DriverState& state) {
  const std::string driver =
      "the NVIDIA driver" + (state.kernel_driver.empty() ? "" : " " + state.kernel_driver);
  if (!state.too_old) {
    return concat("CUDA cannot start: ", state.error_text, " (error ", state.error, " of ", driver,
                  "); nvidia-smi may say more");
  }
  if (state.driver_cuda == 0) {
    return concat(
        driver,
        " is loaded, but its library libcuda.so.1 is not found: give the container the GPUs "
        "(docker run --gpus all, with NVIDIA's container toolkit), or install the driver's "
        "libraries");
  }
  const std::string oldest = oldest_driver(state.needed_cuda);
  return concat(driver, " serves CUDA up to ", cuda_version_text(state.driver_cuda),
                ", but this LibTorch is built for CUDA ", cuda_version_text(state.needed_cuda),
                oldest.empty() ? "" : ", which needs driver " + oldest + " or newer",
                ": install a newer driver, or activate an environment whose torch wheel is for an "
                "older CUDA and "
                "build again (scripts/build.sh)");
}

std::string nccl_problem(long needed, long loaded, const std::string& path) {
  if (loaded >= needed) return {};
  return concat("NCCL ", nccl_version_text(loaded), " is loaded from ", path,
                ", but this LibTorch is built with ", nccl_version_text(needed),
                ": take its folder out of LD_LIBRARY_PATH, or itself out of LD_PRELOAD");
}

}  // namespace titan::cuda
