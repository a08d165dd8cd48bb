#include "titan/tools/accelerator.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

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

}  // namespace

AcceleratorSearch find_accelerator() {
  if (hidden_by_environment()) return {nullptr, "CUDA_VISIBLE_DEVICES hides all GPUs"};
  if (access("/dev/nvidiactl", F_OK) != 0) return {nullptr, "no NVIDIA driver is loaded"};
  const std::string path = program_folder() / "libtitan_cuda.so";
  if (access(path.c_str(), F_OK) != 0) {
    return {nullptr, "this build has no CUDA parts (" + path + " is missing)"};
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) return {nullptr, "CUDA parts cannot be loaded: " + last_loader_error()};
  const auto create = reinterpret_cast<CreateFn>(dlsym(library, "titan_create_cuda_accelerator"));
  if (create == nullptr) return {nullptr, "CUDA parts are damaged: " + last_loader_error()};
  Accelerator* accelerator = create();
  if (accelerator->device_count() == 0) return {nullptr, "the NVIDIA driver shows no GPU"};
  return {accelerator, ""};
}

}  // namespace titan::tools
