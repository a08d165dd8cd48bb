#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "app/engine.h"
#include "titan/base/errors.h"

namespace titan::app {

namespace {

std::string loader_error() {
  const char* error = dlerror();
  return error == nullptr ? "unknown loader error" : error;
}

/// At a barrier libgomp spins for 10 ms before it sleeps. Where another program has one of the cores, those are 10 ms in
/// which nobody works, at each of the hundreds of barriers of a step: it then takes ten times as long. Waking a
/// thread costs some microseconds, so a short spin loses nothing. The library reads this once, when it is loaded.
void wait_at_barriers_asleep() {
  const bool is_chosen =
      std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr;
  if (!is_chosen) setenv("GOMP_SPINCOUNT", "1000", /*overwrite=*/0);
}

}  // namespace

Engine& load_engine() {
  wait_at_barriers_asleep();
  std::error_code failed;
  // LibTorch's libraries cannot be loaded from a folder that is gone, and say something else.
  static_cast<void>(std::filesystem::current_path(failed));
  if (failed) {
    throw RunError(concat("the working directory cannot be used (", failed.message(),
                          "): it was removed, or moved out of reach; change to another one"));
  }
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failed);
  const std::string path = program.parent_path() / "libtitan_engine.so";
  void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_GLOBAL);
  if (library == nullptr) throw RunError("cannot load the training engine: " + loader_error());
  const auto get_engine = reinterpret_cast<Engine* (*)()>(dlsym(library, "titan_engine"));
  if (get_engine == nullptr) throw RunError("damaged training engine: " + loader_error());
  return *get_engine();
}

}  // namespace titan::app
