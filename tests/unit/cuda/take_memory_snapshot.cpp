// take_memory_snapshot LIBTITAN_CUDA_SO: writes a snapshot of the CUDA allocator to standard output.
#include <dlfcn.h>

#include <cstdio>
#include <string>

#include "titan/tools/accelerator.h"

int main(int, char** argv) {
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  const auto create = reinterpret_cast<titan::tools::Accelerator* (*)()>(
      dlsym(library, "titan_create_cuda_accelerator"));
  const std::string snapshot = create()->memory_snapshot();
  return std::fwrite(snapshot.data(), 1, snapshot.size(), stdout) == snapshot.size() ? 0 : 1;
}
