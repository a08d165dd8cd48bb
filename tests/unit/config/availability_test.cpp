#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/mesh/degrees.h"
#include "unit/config/config_files.h"

namespace titan::config {
namespace {

struct Asked {
  std::vector<std::string> args;
  const char* problem;
};

class Unavailable : public testing::TestWithParam<Asked> {};

TEST_P(Unavailable, IsRefusedByNameAndOrigin) {
  const std::string problems = ConfigFiles().problems(GetParam().args);
  EXPECT_THAT(problems, testing::HasSubstr(std::string("command line: ") + GetParam().problem));
  EXPECT_THAT(problems, testing::HasSubstr(": not available in this build yet: "));
}

INSTANTIATE_TEST_SUITE_P(
    Features, Unavailable,
    testing::Values(Asked{{"--activation_checkpoint.mode=memory_budget"},
                          "activation_checkpoint.mode = \"memory_budget\""},
                    Asked{{"--fault_tolerance.enable"}, "fault_tolerance.enable = true"},
                    Asked{{"--parallelism.context_parallel_degree=2",
                           "--parallelism.context_parallel_load_balancer=ptrr"},
                          "parallelism.context_parallel_load_balancer = \"ptrr\""},
                    Asked{{"--parallelism.expert_parallel_comm_backend=deepep"},
                          "parallelism.expert_parallel_comm_backend = \"deepep\""}));

class Replaced : public testing::TestWithParam<Asked> {};

TEST_P(Replaced, IsRefusedWithWhatThereIsInstead) {
  const std::string problems = ConfigFiles().problems(GetParam().args);
  EXPECT_THAT(problems, testing::HasSubstr(std::string("command line: ") + GetParam().problem));
  EXPECT_THAT(problems, testing::HasSubstr(": has no place in this program: "));
  EXPECT_THAT(problems, testing::Not(testing::HasSubstr("yet")));
}

INSTANTIATE_TEST_SUITE_P(
    Options, Replaced,
    testing::Values(Asked{{"--activation_checkpoint.debug"}, "activation_checkpoint.debug = true"},
                    Asked{{"--memory_estimation.enable", "--memory_estimation.disable_fake_mode"},
                          "memory_estimation.disable_fake_mode = true"},
                    Asked{{"--job.custom_config_module=torchtitan.experiments.vlm.job_config"},
                          "job.custom_config_module = \"torchtitan.experiments.vlm.job_config\""},
                    Asked{{"--experimental.custom_import=torchtitan.experiments.simple_fsdp"},
                          "experimental.custom_import = \"torchtitan.experiments.simple_fsdp\""}));

TEST(Availability, WorkersAreBatchesMadeAhead) {
  const auto ahead = [](std::vector<std::string> args) {
    return ConfigFiles().parse(std::move(args)).config.training.dataloader.batches_ahead();
  };
  EXPECT_EQ(ahead({}), 2);
  EXPECT_EQ(ahead({"--training.dataloader.prefetch_factor=4"}), 2);
  EXPECT_EQ(ahead({"--training.dataloader.num_workers=2"}), 4);
  EXPECT_EQ(ahead({"--training.dataloader.num_workers", "2", "--training.dataloader.pin_memory",
                   "--training.dataloader.persistent_workers",
                   "--training.dataloader.prefetch_factor", "4"}),
            8);
}

TEST(Availability, ExpertTensorParallelismWithoutExpertsHasNoEffect) {
  const JobConfig config =
      ConfigFiles().parse({"--parallelism.expert_tensor_parallel_degree=2"}).config;
  EXPECT_EQ(config.parallelism.degrees().etp, 1);
}

TEST(Availability, SettingsOfWhatIsOffAreInert) {
  ConfigFiles().parse({"--checkpoint.interval=10", "--checkpoint.keep_latest_k=1",
                       "--validation.freq=3", "--metrics.save_tb_folder=x",
                       "--metrics.save_for_all_ranks", "--profiling.profile_freq=1",
                       "--quantize.linear.float8.emulate", "--compile.backend=eager",
                       "--parallelism.data_parallel_shard_degree=1", "--comm.trace_buf_size=0",
                       "--training.dataset_path=x.jsonl", "--debug.on_nan=skip"});
}

TEST(Availability, FastPathsAreThere) {
  ConfigFiles().parse({"--compile.enable", "--compile.components=model,loss,optimizer"});
}

TEST(Availability, PrintingIsNotTraining) {
  EXPECT_TRUE(ConfigFiles().load({"--fault_tolerance.enable"}).config.fault_tolerance.enable);
}

}  // namespace
}  // namespace titan::config
