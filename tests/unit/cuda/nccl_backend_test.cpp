// The CUDA parts load and their process groups are found; without a GPU that is where it ends.
#include "titan/comm/nccl_backend.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/comm/local_backend.h"

namespace titan::comm {
namespace {

using testing::HasSubstr;
using titan::test::message_of;

const c10::Device kDevice(c10::kCUDA, 0);

TEST(NcclBackend, WithoutTheCudaPartsItSaysSo) {
  if (dlsym(RTLD_DEFAULT, "titan_nccl_groups") != nullptr) GTEST_SKIP() << "they are loaded";
  LocalWorld world(1);
  EXPECT_THAT(message_of<RunError>([&] { make_nccl_backend(world.store(), 0, kDevice, {}); }),
              HasSubstr("need libtitan_cuda.so, which is not loaded"));
}

TEST(NcclBackend, ItsGroupsComeFromTheCudaParts) {
  void* library = dlopen(TITAN_CUDA_LIBRARY, RTLD_NOW | RTLD_GLOBAL);
  ASSERT_NE(library, nullptr) << dlerror();
  ::setenv("TORCH_FR_BUFFER_SIZE", "7", 1);
  LocalWorld world(1);
  const auto backend = make_nccl_backend(world.store(), 0, kDevice, {500, "traces/rank_"});
  EXPECT_EQ(backend->name(), "nccl");
  EXPECT_STREQ(std::getenv("TORCH_NCCL_ASYNC_ERROR_HANDLING"), "3");
  EXPECT_STREQ(std::getenv("TORCH_FR_BUFFER_SIZE"), "500");
  EXPECT_STREQ(std::getenv("TORCH_NCCL_DUMP_ON_TIMEOUT"), "1");
  EXPECT_STREQ(std::getenv("TORCH_FR_DUMP_TEMP_FILE"), "traces/rank_");
  if (access("/dev/nvidiactl", F_OK) == 0) GTEST_SKIP() << "there is a GPU";
  const auto make = [&] { backend->make_group("world", {0}, std::chrono::seconds(5), nullptr); };
  EXPECT_THAT(message_of<RunError>(make), HasSubstr("rank 0 cannot make group 'world': "));
}

}  // namespace
}  // namespace titan::comm
