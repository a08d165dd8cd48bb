#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/temporary_folder.h"
#include "unit/config/config_files.h"

namespace titan::config {
namespace {

TEST(BaseFiles, AFileOutranksItsBaseAndPathsAreRelativeToTheFile) {
  ConfigFiles files;
  files.write("configs/llama3/mine.toml", "base = \"../common.toml\"\n[training]\nsteps = 5\n");
  files.write("configs/common.toml", "base = \"root.toml\"\n[training]\nsteps = 1\nseq_len = 64\n");
  files.write("configs/root.toml", "[training]\nseq_len = 32\nlocal_batch_size = 3\n");
  const CommandLine line = files.load({"--job.config_file=configs/llama3/mine.toml"});
  EXPECT_EQ(line.config.training.steps, 5);
  EXPECT_EQ(line.config.training.seq_len, 64);
  EXPECT_EQ(line.config.training.local_batch_size, 3);
  EXPECT_EQ(line.origins.of("training.local_batch_size"), "configs/root.toml:3:20");
}

TEST(BaseFiles, ACircleIsAnErrorThatShowsIt) {
  ConfigFiles files;
  files.write("a.toml", "base = \"./b.toml\"\n");
  files.write("b.toml", "\nbase = \"c.toml\"\n");
  files.write("c.toml", "base = \"x/../a.toml\"\n");
  EXPECT_EQ(files.problems({"--job.config_file=./a.toml"}),
            "  c.toml:1:8: base files form a circle: a.toml -> b.toml -> c.toml -> a.toml");
}

TEST(BaseFiles, AMissingBaseIsBlamedOnTheFileThatNamesIt) {
  ConfigFiles files("base = \"gone.toml\"\n[training]\nstepz = 3\n");
  EXPECT_EQ(files.problems(),
            "  config.toml:3:1: unknown option \"stepz\" in [training]; did you mean "
            "'training.steps'?\n"
            "  config.toml:1:8: cannot open 'gone.toml': No such file or directory");
}

TEST(BaseFiles, BaseMustBeAPath) {
  EXPECT_EQ(ConfigFiles("base = 3").problems(),
            "  config.toml:1:8: base must be the path of a TOML file, got the integer 3");
  EXPECT_EQ(ConfigFiles("base = \"a\\u0000b\"").problems(),
            "  config.toml:1:8: base must be the path of a TOML file, got the string "
            "\"a\\u0000b\"");
}

TEST(BaseFiles, AChainThatNeverEndsIsCut) {
  ConfigFiles files;
  for (int i = 0; i < 40; ++i) {
    files.write(concat(i, ".toml"), concat("base = \"", i + 1, ".toml\"\n"));
  }
  EXPECT_THAT(files.problems({"--job.config_file=0.toml"}),
              testing::StartsWith("  31.toml:1:8: too many base files: 0.toml -> 1.toml -> "));
}

TEST(BaseFiles, FoldersMissingUnreadableAndHugeFilesAreAllReported) {
  const test::TemporaryFolder folder;
  base::FileSystem& disk = base::posix_file_system();
  base::write_file_atomically(disk, folder / "huge.toml", std::string(2 << 20, '#'));
  base::write_file_atomically(disk, folder / "secret.toml", "[training]\nsteps = 3\n");
  ASSERT_EQ(chmod((folder / "secret.toml").c_str(), 0), 0);
  std::vector<std::string> args;
  for (const char* name : {"", "gone.toml", "huge.toml", "secret.toml"}) {
    args.push_back("--job.config_file=" + folder / name);
  }
  const std::string message =
      test::message_of<ConfigError>([&] { parse_command_line(args, disk); });
  EXPECT_THAT(message, testing::HasSubstr("is a directory, not a TOML file"));
  EXPECT_THAT(message, testing::HasSubstr("gone.toml': No such file or directory"));
  EXPECT_THAT(message, testing::HasSubstr("huge.toml' is too large"));
  const bool root_reads_everything = getuid() == 0;
  EXPECT_THAT(message, testing::HasSubstr(root_reads_everything ? "3 problems" : "4 problems"));
}

}  // namespace
}  // namespace titan::config
