#include "titan/tools/accelerator.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "titan/base/errors.h"

namespace titan::tools {

namespace {

using CreateFn = Accelerator* (*)();

bool hidden_by_environment() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible != nullptr && (*visible == '\0' || *visible == '-');
}

std::string last_loader_error() {
  const char* error = dlerror();
  return error == nullptr ? "unknown loader error" : error;
}

std::filesystem::path program_folder() {
  std::error_code failed;
  return std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
}

/// Linux has the driver's device; WSL has a device of every graphics card, and the driver's library where
/// one is NVIDIA's.
bool driver_is_loaded() {
  if (access("/dev/nvidiactl", F_OK) == 0) return true;
  return access("/dev/dxg", F_OK) == 0 && dlopen("libcuda.so.1", RTLD_LAZY) != nullptr;
}

AcceleratorSearch none(std::string reason) { return {nullptr, std::move(reason), false}; }

AcceleratorSearch unusable(std::string reason) { return {nullptr, std::move(reason), true}; }

std::string load_advice(const std::string& error) {
  if (error.find("nccl") != std::string::npos || error.find("NCCL") != std::string::npos) {
    return ": another NCCL than LibTorch's is found first; take its folder out of LD_LIBRARY_PATH, "
           "or itself "
           "out of LD_PRELOAD";
  }
  return ": LibTorch's wheel, or one of its NVIDIA parts, is another than it was at the build; "
         "scripts/build.sh "
         "builds with the present one";
}

}  // namespace

AcceleratorSearch find_accelerator() {
  if (hidden_by_environment()) return none("CUDA_VISIBLE_DEVICES hides all GPUs");
  if (!driver_is_loaded()) return none("no NVIDIA driver is loaded");
  const std::string path = program_folder() / "libtitan_cuda.so";
  if (access(path.c_str(), F_OK) != 0) {
    return unusable("this build has no CUDA parts (" + path +
                    " is missing): build with a LibTorch for CUDA (scripts/build.sh says whether "
                    "it finds one)");
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    const std::string error = last_loader_error();
    return unusable("the CUDA parts cannot be loaded (" + error + ")" + load_advice(error));
  }
  const auto create = reinterpret_cast<CreateFn>(dlsym(library, "titan_create_cuda_accelerator"));
  if (create == nullptr) return unusable("the CUDA parts are damaged: " + last_loader_error());
  Accelerator* accelerator = create();
  if (std::string problem = accelerator->why_unusable(); !problem.empty()) {
    return unusable(std::move(problem));
  }
  if (accelerator->device_count() == 0) return none("the NVIDIA driver shows no GPU");
  return {accelerator, "", false};
}

int gpu_of_rank(const LaunchEnvironment& launch, int gpus) {
  if (launch.local_rank < gpus) return static_cast<int>(launch.local_rank);
  // torchrun shows all its ranks the same GPUs: there a single one is one too few.
  if (gpus == 1 && (launch.launcher == "Slurm" || launch.launcher == "Open MPI")) return 0;
  throw RunError(concat("local rank ", launch.local_rank, " has no GPU: this process sees ", gpus,
                        ". Start as many ranks as there are GPUs (NGPU), or set training.device = "
                        "\"cpu\"."));
}

}  // namespace titan::tools
