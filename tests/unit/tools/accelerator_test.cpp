#include "titan/tools/accelerator.h"

#include <gmock/gmock.h>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::tools {
namespace {

LaunchEnvironment launched(std::string launcher, std::int64_t local_rank) {
  LaunchEnvironment launch;
  launch.launcher = std::move(launcher);
  launch.local_rank = local_rank;
  launch.local_world_size = local_rank + 1;
  return launch;
}

TEST(GpuOfRank, IsThatOfItsPlaceOnTheMachine) {
  EXPECT_EQ(gpu_of_rank(launched("torchrun", 3), 8), 3);
  EXPECT_EQ(gpu_of_rank(launched("Slurm", 3), 8), 3);
  EXPECT_EQ(gpu_of_rank(launched("", 0), 1), 0);
}

TEST(GpuOfRank, IsTheOnlyOneThatALauncherShowsIt) {
  EXPECT_EQ(gpu_of_rank(launched("Slurm", 3), 1), 0);
  EXPECT_EQ(gpu_of_rank(launched("Open MPI", 3), 1), 0);
}

TEST(GpuOfRank, OneWithoutAGpuSaysWhatToDo) {
  for (const char* launcher : {"torchrun", "Slurm"}) {
    const int gpus = launcher == std::string("Slurm") ? 2 : 1;
    EXPECT_THAT(
        test::message_of<RunError>([&] { gpu_of_rank(launched(launcher, 3), gpus); }),
        testing::AllOf(testing::HasSubstr("local rank 3 has no GPU"), testing::HasSubstr("NGPU")));
  }
}

}  // namespace
}  // namespace titan::tools
