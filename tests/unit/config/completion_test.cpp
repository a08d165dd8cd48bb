#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/config/print.h"
#include "unit/config/config_files.h"

namespace titan::config {
namespace {

using testing::HasSubstr;

TEST(Completion, KnowsOptionsSwitchesAndWords) {
  const std::string bash = completion_script(Shell::kBash);
  EXPECT_THAT(bash, HasSubstr(" --training.steps "));
  EXPECT_THAT(bash, HasSubstr(" --checkpoint.no-enable "));
  EXPECT_THAT(bash, HasSubstr(" --show-lr "));
  EXPECT_THAT(bash, HasSubstr("--training.dtype) words='bfloat16 float32' ;;"));
  EXPECT_THAT(bash, HasSubstr("--from) words='hf dcp pt' ;;"));
  EXPECT_THAT(bash, testing::Not(HasSubstr("optimizer.param_groups"))) << "only in TOML";

  const std::string zsh = completion_script(Shell::kZsh);
  EXPECT_THAT(zsh, HasSubstr("    '--training.dtype=[Type of the parameters]:value:(bfloat16 "
                             "float32)'\n"));
  EXPECT_THAT(zsh, HasSubstr("    '--checkpoint.enable[Save and load checkpoints]'\n"));

  const std::string fish = completion_script(Shell::kFish);
  EXPECT_THAT(fish, HasSubstr("complete -c titan_train -l training.dtype -x -a 'bfloat16 float32' "
                              "-d 'Type of the parameters'\n"));
}

TEST(Completion, IsAskedForByTheNameOfAShell) {
  ConfigFiles files;
  EXPECT_EQ(files.parse({"--completion", "zsh"}).action, Action::kCompletion);
  EXPECT_EQ(files.parse({"--completion=zsh"}).shell, Shell::kZsh);
  EXPECT_EQ(files.problems({"--completion=tcsh"}),
            "  --completion=tcsh: must be bash or zsh or fish");
  EXPECT_EQ(files.problems({"--completion"}), "  --completion=: must be bash or zsh or fish");
}

}  // namespace
}  // namespace titan::config
