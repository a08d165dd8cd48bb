// Whole jobs of the trainer on ranks with a rehearsal device each: the CPU's figures, step by step.
#include "rehearsal/jobs.h"

#include <ATen/TensorOperators.h>
#include <c10/core/DeviceGuard.h>

#include "support/rehearsal/memory.h"
#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::test::rehearsal {
namespace {

using ::testing::SizeIs;

TEST_F(Jobs, OneRankWithEverything) {
  validate_every_three_steps();
  config_.activation_checkpoint.mode = ActivationCheckpointMode::kSelective;
  config_.training.global_batch_size = 4;  // two microbatches
  const Reports cpu = on_cpu({1, 1}, 1);
  ASSERT_THAT(cpu.at(0).validations, SizeIs(3));
  save_every_two_steps();
  config_.profiling.enable_profiling = true;
  config_.profiling.profile_freq = 3;
  config_.profiling.profiler_warmup = 1;
  forget_devices_in_use();
  expect_same(on_devices({1, 1}, 1, /*first_device=*/1), cpu);
  EXPECT_EQ(devices_in_use(), std::set<int>{1}) << "who has no device guard is on device 0";
  EXPECT_TRUE(std::filesystem::exists(folder_ / "device/checkpoint/step-6/.metadata"));
  EXPECT_FALSE(std::filesystem::is_empty(folder_ / "device/profile_traces"));
}

TEST_F(Jobs, ShardedJobsGoOnFromAsyncCheckpoints) {
  config_.activation_checkpoint.mode = ActivationCheckpointMode::kFull;
  config_.training.mixed_precision_param = config::DType::kBFloat16;
  validate_every_three_steps();
  const Reports cpu = on_cpu({1, 2}, 2);
  save_every_two_steps();
  forget_devices_in_use();
  const Reports whole = on_devices({1, 2}, 2, /*first_device=*/1);
  EXPECT_EQ(devices_in_use(), (std::set<int>{1, 2}));
  expect_same(whole, cpu, /*tolerance=*/1e-2);
  std::filesystem::remove_all(folder_ / "device/checkpoint/step-6");
  expect_same(on_devices({1, 2}, 2, /*first_device=*/1), whole, /*tolerance=*/0, /*first=*/4);
}

TEST_F(Jobs, OffloadedParametersStayOnTheHost) {
  config_.training.enable_cpu_offload = true;
  config_.training.global_batch_size = 8;
  validate_every_three_steps();
  const Reports cpu = on_cpu({1, 2}, 2);
  save_every_two_steps();
  expect_same(on_devices({1, 2}, 2), cpu);
}

TEST_F(Jobs, ThreeShards) { expect_same(on_devices({1, 3}, 3), on_cpu({1, 3}, 3)); }

TEST_F(Jobs, ReplicatedShards) {
  config_.activation_checkpoint.mode = ActivationCheckpointMode::kSelective;
  config_.activation_checkpoint.selective_ac_option = "2";
  expect_same(on_devices({2, 2}, 4), on_cpu({2, 2}, 4));
}

TEST_F(Jobs, Replicas) {
  config_.training.global_batch_size = 8;
  expect_same(on_devices({2, 1}, 2), on_cpu({2, 1}, 2));
}

TEST_F(Jobs, TensorParallelShards) {
  const mesh::Degrees degrees{.dp_shard = 2, .tp = 2};
  expect_same(on_devices(degrees, 4), on_cpu(degrees, 4), /*tolerance=*/1e-4);
}

/// The loss is computed a few rows at a time, by ranks that share the vocabulary.
TEST_F(Jobs, FastPathsOfTensorParallelShards) {
  config_.compile.enable = true;
  config_.training.mixed_precision_param = config::DType::kBFloat16;
  const mesh::Degrees degrees{.dp_shard = 2, .tp = 2};
  expect_same(on_devices(degrees, 4), on_cpu(degrees, 4), /*tolerance=*/1e-2);
  config_.training.mixed_precision_param = config::DType::kFloat32;
  expect_same(on_devices(degrees, 4), on_cpu(degrees, 4), /*tolerance=*/1e-4);
}

TEST_F(Jobs, PipelinesOfShards) {
  const mesh::Degrees degrees{.dp_shard = 2, .pp = 2};
  config_.activation_checkpoint.mode = ActivationCheckpointMode::kFull;
  expect_same(on_devices(degrees, 4), on_cpu(degrees, 4));
}

TEST_F(Jobs, ExpertsOnSeveralRanks) {
  has_experts_ = true;
  const mesh::Degrees degrees{.dp_shard = 2, .ep = 2};
  expect_same(on_devices(degrees, 2), on_cpu(degrees, 2));
  config_.activation_checkpoint.mode = ActivationCheckpointMode::kFull;
  expect_same(on_devices(degrees, 2), on_cpu(degrees, 2));
}

/// Whose forwards and backwards take turns.
TEST_F(Jobs, ExpertsInAPipeline) {
  has_experts_ = true;
  config_.parallelism.pipeline_parallel_schedule = "DualPipeV";
  config_.training.local_batch_size = 4;
  const mesh::Degrees degrees{.dp_shard = 2, .pp = 2, .ep = 2};
  expect_same(on_devices(degrees, 4), on_cpu(degrees, 4));
}

/// How often the host waits for the device in each step after the first.
TEST_F(Jobs, AStepWaitsOnceForItsResultAndOnceForTheTokensOfAllRanks) {
  const auto after_the_first = [](const Reports& reports) {
    const std::vector<std::uint64_t>& all = reports.at(0).synchronizations;
    return std::set<std::uint64_t>(all.begin() + 2, all.end());
  };
  EXPECT_EQ(after_the_first(on_devices({1, 1}, 1)), std::set<std::uint64_t>{1});
  EXPECT_EQ(after_the_first(on_devices({1, 2}, 2)), std::set<std::uint64_t>{2});
  EXPECT_EQ(after_the_first(on_devices({2, 1}, 2)), std::set<std::uint64_t>{2});
  config_.training.enable_cpu_offload = true;
  // Behind backward, for the gradients of each unit - embeddings, two blocks, norm and output - and for their
  // norm.
  EXPECT_EQ(after_the_first(on_devices({1, 2}, 2)), std::set<std::uint64_t>{2 + 4 + 1});
}

/// Who sets no device is on the first one: what jobs on other devices look for.
TEST_F(Jobs, AMissingDeviceGuardShows) {
  set_degrees({1, 2});
  Reports reports;
  forget_devices_in_use();
  rehearsal::on_devices(
      {1, 2}, 2,
      [&](const comm::RankContext& context) {
        const c10::DeviceGuard missing(device(0));
        EXPECT_THAT(message_of<RunError>([&] { run(context, "device", reports); }),
                    ::testing::HasSubstr("cannot send a tensor on rehearsal:0"));
      },
      /*first_device=*/1);
  EXPECT_TRUE(devices_in_use().contains(0));
}

}  // namespace
}  // namespace titan::test::rehearsal
