#include <gtest/gtest.h>

#include "config_files.h"

namespace titan::config {
namespace {

TEST(ProgramArguments, NameTheAction) {
  ConfigFiles files;
  EXPECT_EQ(files.parse({}).action, Action::kTrain);
  EXPECT_EQ(files.parse({"--check"}).action, Action::kCheck);
  EXPECT_EQ(files.parse({"--print-config"}).action, Action::kPrintConfig);
  EXPECT_EQ(files.parse({"--print_config"}).action, Action::kPrintConfig);
  EXPECT_EQ(files.parse({"--help-markdown"}).action, Action::kHelpMarkdown);
}

TEST(ProgramArguments, HelpAndVersionComeBeforeAnyComplaint) {
  ConfigFiles files;
  EXPECT_EQ(files.parse({"--nonsense", "-h", "--check"}).action, Action::kHelp);
  EXPECT_EQ(files.parse({"--help", "--version"}).action, Action::kHelp);
  EXPECT_EQ(files.parse({"--job.config_file=gone.toml", "--version"}).action, Action::kVersion);
}

TEST(ProgramArguments, WorldSizeIsForCheck) {
  ConfigFiles files;
  EXPECT_EQ(files.parse({"--check", "--world-size", "1"}).world_size, 1);
  EXPECT_EQ(files.parse({"--check", "--world_size=1"}, 8).world_size, 1);
  EXPECT_EQ(files.problems({"--check", "--world-size=8"}),
            "  world size 8: not available in this build yet: several ranks");
  EXPECT_EQ(files.problems({"--world-size=8"}),
            "  --world-size=8: only goes with --check: a run takes its size from the launcher");
  EXPECT_EQ(files.problems({"--check", "--world-size", "0"}),
            "  --world-size=0: must be in [1, 1e+06], got 0");
  EXPECT_EQ(files.problems({"--check", "--world-size", "many"}),
            "  --world-size=many: must be an integer, got \"many\"");
  EXPECT_EQ(files.problems({"--world-size", "--check"}), "  --world-size=: needs a value");
}

TEST(ProgramArguments, ValuesOfOtherOptionsAreNotTakenForThem) {
  const CommandLine line = ConfigFiles().parse({"--job.description", "-hello", "--check"});
  EXPECT_EQ(line.action, Action::kCheck);
  EXPECT_EQ(line.config.job.description, "-hello");
}

TEST(ProgramArguments, PrintingAndCheckingExcludeEachOther) {
  EXPECT_EQ(ConfigFiles().problems({"--check", "--print-config"}),
            "  --print-config: does not go with --check");
}

TEST(ProgramArguments, ProblemsOfBothKindsAreReportedTogether) {
  EXPECT_EQ(ConfigFiles().problems({"--check", "--world-size=x", "--training.steps=x"}),
            "  --world-size=x: must be an integer, got \"x\"\n"
            "  --training.steps=x: must be an integer, got \"x\"");
  EXPECT_EQ(ConfigFiles().problems({"--check=x", "--training.steps=x"}),
            "  command line: Could not convert: --check = x\n"
            "  --training.steps=x: must be an integer, got \"x\"");
}

}  // namespace
}  // namespace titan::config
