// The watch over a job whose collectives have no end: on a device nobody is told by a wait.
#include "titan/watch/watch.h"

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <latch>

#include "rehearsal/llama_step.h"
#include "support/rehearsal/device.h"
#include "support/temporary_folder.h"
#include "titan/base/file_system.h"
#include "titan/comm/local_backend.h"

namespace titan::test::rehearsal {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const Case kFsdp{"Fsdp2", {1, 2}, 2, ActivationCheckpointMode::kNone};
constexpr milliseconds kLimit{500};

/// Two ranks of FSDP with a watch each.
class WatchOnDevices : public ::testing::Test {
 protected:
  WatchOnDevices() {
    for (std::int64_t rank = 0; rank < 2; ++rank) {
      watch::WatchSetup setup;
      setup.rank = rank;
      setup.world_size = 2;
      setup.host = "here";
      setup.store = {&world_.store(), [](comm::Store*) {}};
      setup.traces_folder = folder_ / "traces";
      setup.period = milliseconds(50);
      setup.grace = milliseconds(100);
      // What _exit does to processes: to both, because they share a machine here.
      setup.end_rank = [this](const std::string& reason) {
        if (++ended_ == 2) Machine::instance().abort(reason);
      };
      watches_.at(static_cast<std::size_t>(rank)) = watch::make_watch(setup);
    }
  }
  ~WatchOnDevices() override { faults().endless_collective = 0; }

  watch::Watch& watch(std::int64_t rank) { return *watches_.at(static_cast<std::size_t>(rank)); }

  using Body = std::function<void(const comm::RankContext&)>;

  /// What ends rank 0 in `body`, whose device waits for what has no end; `others` is what rank 1 does.
  std::string end_of_rank_0(const Body& body, const Body& others) {
    std::string sentence;
    const auto start = std::chrono::steady_clock::now();
    const auto run = [&](const comm::RankContext& context) {
      watch(context.rank).enter_phase("forward", 7);
      if (context.rank > 0) return others(context);
      try {
        body(context);
      } catch (const std::exception& error) {
        sentence = error.what();
      }
      over_.count_down();
    };
    on_devices(kFsdp.degrees, kFsdp.ranks, run, /*first_device=*/0,
               {[this](std::int64_t rank) { return &watch(rank); }, kLimit});
    EXPECT_LT(std::chrono::steady_clock::now() - start, kLimit + std::chrono::seconds(10));
    EXPECT_THAT(sentence, Not(HasSubstr("\n"))) << "one sentence";
    return sentence;
  }

  static void step(const comm::RankContext& context) { gradients(kFsdp, context); }
  static void failing(const Body& body, const comm::RankContext& context) {
    EXPECT_THROW(body(context), std::exception);
  }

  std::atomic<int> ended_ = 0;
  std::latch over_{1};
  TemporaryFolder folder_;
  comm::LocalWorld world_{2};
  std::array<std::unique_ptr<watch::Watch>, 2> watches_;
};

TEST_F(WatchOnDevices, NameACollectiveWithoutEnd) {
  faults().endless_collective = 9;
  EXPECT_THAT(end_of_rank_0(step, [](const auto& context) { failing(step, context); }),
              AllOf(HasSubstr(" of fsdp failed although all ranks entered it"),
                    HasSubstr(" at step 7"), HasSubstr("timed out after 500 ms")));
}

TEST_F(WatchOnDevices, NameTheRankThatDoesNotCome) {
  EXPECT_THAT(end_of_rank_0(step,
                            [this](const comm::RankContext&) {
                              watch(1).enter_phase("data", 7);
                              over_.wait();
                            }),
              AllOf(HasSubstr("rank 1 (host here, pid "), HasSubstr(" of fsdp"),
                    HasSubstr("it is in data of step 7")));
}

/// Backward runs in a thread of the device, and so does what waits in it.
TEST_F(WatchOnDevices, DumpTheStackOfTheDevicesThread) {
  faults().endless_collective = 1;
  const Body backward = [](const comm::RankContext& context) {
    const auto here = at::TensorOptions().device(context.device);
    const at::Tensor x = at::ones({3}, here).set_requires_grad(true);
    const at::Tensor y = x * x;
    y.register_hook([&](const at::Tensor& gradient) {
      const at::Tensor sum = gradient.contiguous();
      context.group(mesh::MeshDim::kFsdp).all_reduce(sum).wait();
      static_cast<void>(sum[0].item<float>());
    });
    y.sum().backward();
  };
  EXPECT_THAT(end_of_rank_0(backward, [&](const auto& context) { failing(backward, context); }),
              HasSubstr("all_reduce #1 of fsdp failed although all ranks entered it"));
  const std::string stacks = base::read_whole_file(base::posix_file_system(),
                                                   folder_ / "traces/rank_0.stack.txt", 1 << 24);
  EXPECT_THAT(stacks, AllOf(HasSubstr("pt_autograd_"), HasSubstr("_local_scalar_dense")));
}

}  // namespace
}  // namespace titan::test::rehearsal
