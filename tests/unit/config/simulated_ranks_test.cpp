#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/config/config_files.h"

namespace titan::config {
namespace {

using testing::HasSubstr;

TEST(SimulatedRanks, TakeTheirNumberFromTheEnvironmentAndTrainOneStep) {
  ConfigFiles files("[comm]\nmode = \"local_tensor\"\n[training]\nsteps = 50\n");
  const CommandLine line = files.parse({"--job.config_file=config.toml"}, 1, 4);
  EXPECT_EQ(line.world_size, 4);
  EXPECT_EQ(line.config.training.steps, 1);
  EXPECT_THAT(line.origins.of("training.steps"), HasSubstr("comm.mode"));
}

TEST(SimulatedRanks, TrainAsLongAsTheCommandLineSays) {
  ConfigFiles files;
  const CommandLine line = files.parse({"--comm.mode=fake_backend", "--training.steps=7"}, 1, 4096);
  EXPECT_EQ(line.world_size, 4096);
  EXPECT_EQ(line.config.training.steps, 7);
}

TEST(SimulatedRanks, ANumberThatIsNotSaidIsNotGuessed) {
  EXPECT_THAT(ConfigFiles().problems({"--comm.mode=local_tensor"}),
              HasSubstr("comes from the environment variable NGPU, which is not set"));
}

TEST(SimulatedRanks, AreBounded) {
  ConfigFiles files("[comm]\nmode = \"local_tensor\"\n");
  const CommandLine line = files.parse({"--job.config_file=config.toml"}, 1, 4096);
  EXPECT_EQ(line.world_size, 4096);
  EXPECT_EQ(test::message_of<ConfigError>(
                [&] { files.parse({"--job.config_file=config.toml"}, 1, 99'999'999); }),
            "1 problem in the configuration:\n"
            "  NGPU=99999999: comm.mode has at most 4096 ranks that are threads of one process");
}

TEST(SimulatedRanks, OfARealJobAreNobody) {
  EXPECT_EQ(ConfigFiles().parse({}, 2, 8).world_size, 2);
}

}  // namespace
}  // namespace titan::config
