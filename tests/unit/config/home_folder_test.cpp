#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "titan/config/options.h"
#include "unit/config/config_files.h"

namespace titan::config {
namespace {

using testing::HasSubstr;

class HomeFolderTest : public testing::Test {
 protected:
  HomeFolderTest() { ::setenv("HOME", "/home/ann", 1); }
  ~HomeFolderTest() override {
    if (before_ != nullptr) ::setenv("HOME", before_copy_.c_str(), 1);
  }

 private:
  const char* before_ = std::getenv("HOME");
  std::string before_copy_ = before_ == nullptr ? "" : before_;
};

/// Options whose names say that they hold a path.
bool sounds_like_a_path(const Option& option) {
  if (option.type != ValueType::kString && option.type != ValueType::kStringList) return false;
  const std::string& name = option.name;
  return name.ends_with("path") || name.ends_with("folder") || name.ends_with("file") ||
         name.ends_with("csv");
}

TEST_F(HomeFolderTest, EveryPathOptionMayBeginWithIt) {
  int paths = 0;
  for (const Option& option : options()) {
    EXPECT_EQ(option.is_path, sounds_like_a_path(option)) << option.full_name();
    if (!option.is_path || option.given_by == GivenBy::kCommandLineOnly) continue;
    ++paths;
    ConfigFiles files(concat("[", option.section, "]\n", option.name, " = \"~/x\"\n"));
    for (const std::string& argument :
         {std::string("--job.config_file=config.toml"), concat("--", option.full_name(), "=~/x")}) {
      const CommandLine command = files.load({argument});
      const bool deprecated = option.name == "tokenizer_path";
      const Option& read = deprecated ? *find_option("model.hf_assets_path") : option;
      EXPECT_EQ(std::get<std::string>(read.get(command.config)), "/home/ann/x") << argument;
    }
  }
  EXPECT_EQ(paths, 13);
}

TEST_F(HomeFolderTest, ConfigFilesAndTheirBaseMayBeginWithIt) {
  ConfigFiles files;
  files.write("/home/ann/a.toml", "base = \"~/b.toml\"\n[training]\nsteps = 7\n");
  files.write("/home/ann/b.toml", "[training]\nsteps = 5\nseq_len = 32\n");
  const CommandLine command = files.load({"--job.config_file=~/a.toml"});
  EXPECT_EQ(command.config.training.steps, 7);
  EXPECT_EQ(command.config.training.seq_len, 32);
}

TEST_F(HomeFolderTest, PartsOfAMixtureMayBeginWithIt) {
  ConfigFiles files("[[data.mixture]]\npath = \"~/x.jsonl\"\n[[data.mixture]]\npath = \"./~/x\"\n");
  const CommandLine command = files.load({"--job.config_file=config.toml"});
  EXPECT_EQ(command.config.data.mixture.at(0).path, "/home/ann/x.jsonl");
  EXPECT_EQ(command.config.data.mixture.at(1).path, "./~/x");
}

TEST_F(HomeFolderTest, PathsOfCommandsMayBeginWithIt) {
  ConfigFiles files;
  EXPECT_EQ(files.parse({"plot", "~/a", "~", "--output=~/b.svg"}).inputs,
            (std::vector<std::string>{"/home/ann/a", "/home/ann"}));
  EXPECT_EQ(files.parse({"plot", "a", "--output=~/b.svg"}).output, "/home/ann/b.svg");
  EXPECT_EQ(files.parse({"generate", "--checkpoint", "~/c", "--prompt", "~/d"}).generate.checkpoint,
            "/home/ann/c");
  EXPECT_EQ(
      files.parse({"generate", "--checkpoint", "c", "--prompt", "~/d"}).generate.prompts.at(0),
      "~/d")
      << "a text";
  const CommandLine convert = files.parse({"convert", "--from=hf", "--to=pt", "~/e", "~/f.pt"});
  EXPECT_EQ(convert.convert.source, "/home/ann/e");
  EXPECT_EQ(convert.convert.destination, "/home/ann/f.pt");
}

TEST_F(HomeFolderTest, AnotherUsersHomeIsRefused) {
  ConfigFiles files(
      "base = \"~bob/b.toml\"\n[job]\ndump_folder = \"~bob/x\"\n"
      "[[data.mixture]]\npath = \"~bob\"\n");
  const std::string problems = files.problems();
  EXPECT_THAT(problems, HasSubstr("config.toml:1:8: base names another user's home"));
  EXPECT_THAT(problems, HasSubstr("config.toml:3:15: job.dump_folder names another user's home: "
                                  "write the whole path (or './~bob/x' for a file of this "
                                  "name), got '~bob/x'"));
  EXPECT_THAT(problems, HasSubstr("data.mixture: path names another user's home"));
  EXPECT_THAT(files.problems({"--checkpoint.folder=~bob/x"}), HasSubstr("another user's home"));
  EXPECT_THAT(files.problems({"--job.config_file=~bob/x"}), HasSubstr("another user's home"));
  EXPECT_THAT(files.problems({"plot", "~bob/x"}), HasSubstr("another user's home"));
  EXPECT_THAT(files.problems({"plot", "x", "--output=~bob/x"}), HasSubstr("another user's home"));
}

TEST_F(HomeFolderTest, WithoutHomeTheListOfUsersKnowsIt) {
  ::unsetenv("HOME");
  const std::string path = ConfigFiles().load({"--job.dump_folder=~/x"}).config.job.dump_folder;
  EXPECT_TRUE(path.starts_with("/") && path.ends_with("/x")) << path;
}

TEST_F(HomeFolderTest, ATildeElsewhereIsALetter) {
  EXPECT_EQ(ConfigFiles().load({"--job.dump_folder=a/~/x~"}).config.job.dump_folder, "a/~/x~");
  EXPECT_EQ(ConfigFiles().load({"--job.description=~/x"}).config.job.description, "~/x");
}

}  // namespace
}  // namespace titan::config
