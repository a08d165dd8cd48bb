#include "titan/parallel/host_memory.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include "titan/base/errors.h"
#include "titan/tools/logging.h"

namespace titan::parallel {

at::Tensor empty_page_locked(at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto options = at::TensorOptions().dtype(dtype).device(at::kCPU);
  try {
    return at::empty(sizes, options.pinned_memory(true));
  } catch (const c10::Error& error) {
    tools::warn_once(concat("No more memory could be page-locked (", error.what_without_backtrace(),
                            "). Copies between host and GPU that need it are slower from here on, "
                            "and training waits for them. Does the system limit it (ulimit -l)?"));
  }
  return at::empty(sizes, options);
}

}  // namespace titan::parallel
