#include <torch/headeronly/version.h>

#include "app/commands.h"
#include "titan/app/version.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/cuda/versions.h"
#include "titan/tools/accelerator.h"

namespace titan::app {

namespace {

std::string driver_line(const tools::AcceleratorSearch& search, const cuda::Versions& loaded) {
  const auto driver = cuda::driver_version(base::posix_file_system());
  std::string line = "driver " + driver.value_or("none");
  if (search.accelerator == nullptr) return line + " (" + search.reason + ")";
  if (!driver) line = "driver of unknown version";
  for (const auto& [name, version] : loaded) {
    if (name == "driver") line += ", " + version;
  }
  return line;
}

}  // namespace

std::string version_text() {
  const tools::AcceleratorSearch search = tools::find_accelerator();
  cuda::Versions loaded;
  if (search.accelerator != nullptr) loaded = search.accelerator->versions();
  std::string text = concat("titan_train ", version(), "\nLibTorch ", TORCH_VERSION_MAJOR, ".",
                            TORCH_VERSION_MINOR, ".", TORCH_VERSION_PATCH, "\n");
  for (const auto& [name, version] : cuda::with_loaded(cuda::compiled_versions(), loaded)) {
    text += concat(name, " ", version, "\n");
  }
  text += driver_line(search, loaded) + "\n";
  text += concat("auto device: ",
                 search.accelerator != nullptr ? "cuda"
                 : search.unusable             ? "none"
                                               : "cpu",
                 "\n");
  const int gpus = search.accelerator == nullptr ? 0 : search.accelerator->device_count();
  for (int i = 0; i < gpus; ++i) {
    text += concat("GPU ", i, ": ", search.accelerator->facts(i).name, "\n");
  }
  return text;
}

}  // namespace titan::app
