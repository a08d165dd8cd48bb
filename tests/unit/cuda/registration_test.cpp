// The kernels are linked and registered; no GPU is needed for that.
#include <ATen/core/dispatch/Dispatcher.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "titan/kernels/layers.h"

namespace titan::cuda {
namespace {

TEST(CudaKernels, AreRegistered) {
  static_cast<void>(&kernels::takes_rotation);  // links the operators
  const std::string library =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "libtitan_cuda.so";
  ASSERT_NE(dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL), nullptr) << dlerror();
  for (const char* name :
       {"rotate", "swiglu", "swiglu_backward", "log_sum_exps", "logits_to_gradient"}) {
    const std::string full = std::string("titan_kernels::") + name;
    EXPECT_TRUE(c10::Dispatcher::singleton()
                    .findSchemaOrThrow(full.c_str(), "")
                    .hasKernelForDispatchKey(c10::DispatchKey::CUDA))
        << full;
  }
}

}  // namespace
}  // namespace titan::cuda
