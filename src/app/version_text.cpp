#include <torch/headeronly/version.h>

#include "commands.h"
#include "titan/app/version.h"
#include "titan/base/errors.h"
#include "titan/tools/accelerator.h"

namespace titan::app {

std::string version_text() {
  std::string text = concat("titan_train ", version(), "\nLibTorch ", TORCH_VERSION_MAJOR, ".",
                            TORCH_VERSION_MINOR, ".", TORCH_VERSION_PATCH, "\n");
  const tools::AcceleratorSearch search = tools::find_accelerator();
  if (search.accelerator == nullptr) return text + "no GPU: " + search.reason + "\n";
  for (const auto& [name, value] : search.accelerator->versions()) {
    text += concat(name, " ", value, "\n");
  }
  for (int i = 0; i < search.accelerator->device_count(); ++i) {
    text += concat("GPU ", i, ": ", search.accelerator->facts(i).name, "\n");
  }
  return text;
}

}  // namespace titan::app
