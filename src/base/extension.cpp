#include "titan/base/extension.h"

#include <dlfcn.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "titan/base/errors.h"

namespace titan::base {
namespace {

std::string loader_error() {
  const char* error = dlerror();
  return error == nullptr ? "unknown loader error" : error;
}

}  // namespace

void* load_extension(const Extension& extension) {
  std::error_code failed;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failed);
  const std::string path = program.parent_path() / extension.library;
  if (access(path.c_str(), F_OK) != 0) {
    throw RunError(concat("this build reads no ", extension.reads, ": '", path,
                          "' is missing. It is built where ", extension.needs,
                          " is found, which scripts/bootstrap.sh installs"));
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | extension.flags);
  if (library == nullptr) {
    throw RunError(
        concat("the reader of ", extension.reads, " cannot be loaded: ", loader_error()));
  }
  void* function = dlsym(library, extension.function);
  if (function == nullptr) {
    throw RunError(concat("the reader of ", extension.reads, " is damaged: ", loader_error()));
  }
  return function;
}

}  // namespace titan::base
