// The kernels are linked and registered; no GPU is needed for that.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/ones.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "titan/components/quantization/mx_linear.h"
#include "titan/kernels/layers.h"

namespace titan::cuda {
namespace {

TEST(CudaKernels, AreRegistered) {
  // What links the operators.
  const at::Tensor x = at::ones({32, 32});
  ASSERT_TRUE(kernels::takes_rotation(x));
  ASSERT_TRUE(components::mx_linear(x, x, components::MXScaling::kFloor).defined());
  const std::filesystem::path library =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "libtitan_cuda.so";
  ASSERT_NE(dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL), nullptr) << dlerror();
  for (const char* name :
       {"titan_kernels::rotate", "titan_kernels::swiglu", "titan_kernels::swiglu_backward",
        "titan_kernels::log_sum_exps", "titan_kernels::logits_to_gradient", "titan::cast_to_mx"}) {
    EXPECT_TRUE(c10::Dispatcher::singleton().findSchemaOrThrow(name, "").hasKernelForDispatchKey(
        c10::DispatchKey::CUDA))
        << name;
  }
}

}  // namespace
}  // namespace titan::cuda
