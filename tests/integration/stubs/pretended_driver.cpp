// Preloaded: a machine whose kernel has the NVIDIA driver.
#include <dlfcn.h>

#include <cstring>

extern "C" int access(const char* path, int mode) {
  if (std::strcmp(path, "/dev/nvidiactl") == 0) return 0;
  static const auto real = reinterpret_cast<int (*)(const char*, int)>(dlsym(RTLD_NEXT, "access"));
  return real(path, mode);
}
