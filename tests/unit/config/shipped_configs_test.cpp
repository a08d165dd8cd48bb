#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "unit/config/config_files.h"

namespace titan::config {
namespace {

std::string shipped(const std::string& name) {
  return std::string(TITAN_SOURCE_DIR "/configs/llama3/") + name;
}

CommandLine parsed(std::vector<std::string> args) {
  return parse_command_line(args, base::posix_file_system());
}

TEST(ShippedConfigs, EveryOneLoads) {
  int count = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(TITAN_SOURCE_DIR "/configs")) {
    if (entry.path().extension() == ".toml") {
      parsed({"--print-config", "--job.config_file", entry.path().string()});
      ++count;
    }
  }
  EXPECT_GE(count, 5);
}

TEST(ShippedConfigs, TheDebugModelsTrainInThisBuild) {
  const JobConfig gpu = parsed({"--job.config_file", shipped("debug_model.toml")}).config;
  EXPECT_EQ(gpu.training.seq_len, 2048);
  EXPECT_EQ(gpu.training.steps, 10);
  EXPECT_EQ(gpu.activation_checkpoint.selective_ac_option, "2");

  const JobConfig cpu = parsed({"--job.config_file", shipped("debug_model_cpu.toml")}).config;
  EXPECT_EQ(cpu.training.local_batch_size * cpu.training.seq_len, 1024);
  EXPECT_EQ(cpu.training.mixed_precision_param, DType::kFloat32);
  EXPECT_EQ(cpu.training.device, Device::kCpu);
  EXPECT_TRUE(cpu.compile.enable);
  EXPECT_THAT(cpu.compile.components, testing::ElementsAre("model", "loss", "optimizer"));
  EXPECT_EQ(cpu.lr_scheduler.warmup_steps, 2);
  EXPECT_EQ(cpu.lr_scheduler.decay_ratio, 0.8);
  EXPECT_EQ(cpu.optimizer.lr, 8e-4);
}

TEST(Assets, AMissingFolderIsAWarningAndAnOldTokenizerAnError) {
  EXPECT_THAT(parsed({"--model.hf_assets_path=/gone"}).warnings,
              testing::ElementsAre("HF assets path /gone does not exist!"));
  EXPECT_THAT(ConfigFiles().problems({"--model.hf_assets_path=old/tokenizer.model"}),
              testing::HasSubstr("command line: model.hf_assets_path names an old tokenizer"));
}

TEST(ShippedConfigs, TheLargestModelLacksItsFilesOnly) {
  const std::string message = test::message_of<ConfigError>([] {
    parsed({"--check", "--world-size=256", "--job.config_file", shipped("llama3_405b.toml")});
  });
  EXPECT_THAT(message, testing::HasSubstr("2 problems"));
  EXPECT_THAT(message, testing::HasSubstr("training.dataset_path"));
  EXPECT_THAT(message, testing::HasSubstr("model.hf_assets_path"));
}

}  // namespace
}  // namespace titan::config
