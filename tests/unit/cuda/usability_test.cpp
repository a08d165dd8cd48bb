#include "titan/cuda/usability.h"

#include <gmock/gmock.h>

namespace titan::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;

DriverState too_old(long driver_cuda, long needed_cuda) {
  DriverState state;
  state.error = 35;
  state.error_text = "CUDA driver version is insufficient for CUDA runtime version";
  state.too_old = true;
  state.driver_cuda = driver_cuda;
  state.needed_cuda = needed_cuda;
  state.kernel_driver = "535.104.05";
  return state;
}

TEST(Usability, AnOldDriverIsNamedWithWhatTheWheelNeeds) {
  EXPECT_THAT(driver_problem(too_old(12020, 13000)),
              AllOf(HasSubstr("driver 535.104.05 serves CUDA up to 12.2"),
                    HasSubstr("built for CUDA 13.0, which needs driver 580 or newer"),
                    HasSubstr("install a newer driver, or")));
  EXPECT_THAT(driver_problem(too_old(11040, 12060)), HasSubstr("needs driver 525 or newer"));
}

TEST(Usability, ADriverWithoutItsLibraryIsAContainersFault) {
  EXPECT_THAT(driver_problem(too_old(0, 13000)),
              AllOf(HasSubstr("libcuda.so.1 is not found"), HasSubstr("--gpus all")));
}

TEST(Usability, OtherErrorsAreInCudasWords) {
  DriverState state;
  state.error = 802;
  state.error_text = "system not yet initialized";
  EXPECT_THAT(driver_problem(state),
              AllOf(HasSubstr("system not yet initialized (error 802"), HasSubstr("nvidia-smi")));
}

TEST(Usability, AnOlderNcclIsRefusedWithItsPlace) {
  EXPECT_EQ(nccl_problem(22809, 22809, "/x"), "");
  EXPECT_EQ(nccl_problem(22809, 23000, "/x"), "");
  EXPECT_THAT(nccl_problem(22809, 22105, "/opt/mpi/libnccl.so.2"),
              AllOf(HasSubstr("NCCL 2.21.5 is loaded from /opt/mpi/libnccl.so.2"),
                    HasSubstr("built with 2.28.9"), HasSubstr("LD_LIBRARY_PATH")));
}

}  // namespace
}  // namespace titan::cuda
