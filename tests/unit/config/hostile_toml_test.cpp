#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "titan/base/file_system.h"
#include "unit/config/config_files.h"

namespace titan::config {
namespace {

std::string repeated(std::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) {
    result += text;
  }
  return result;
}

TEST(HostileToml, SyntaxErrorsHaveAPosition) {
  EXPECT_THAT(ConfigFiles("[training]\nsteps = = 3\n").problems(),
              testing::StartsWith("  config.toml:2:9: not TOML: "));
  EXPECT_THAT(ConfigFiles("[training]\nsteps = 3\nsteps = 4\n").problems(),
              testing::StartsWith("  config.toml:3:"));
  EXPECT_THAT(ConfigFiles("[training]\nsteps = 99999999999999999999\n").problems(),
              testing::StartsWith("  config.toml:2:"));
}

TEST(HostileToml, WhatIsNotTextIsRefused) {
  for (const std::string& text :
       {std::string("[training]\nsteps = \0 3", 21), std::string("\xff\xfe[\0", 4),
        std::string("[job]\ndescription = \"\xc3\x28\""), std::string("\x7f"),
        repeated("[", 100'000), "x = " + repeated("[", 100'000), "x = " + repeated("{a=", 100'000),
        repeated("a.", 100'000), "\"" + repeated("x", 100'000),
        "x = \"\"\"" + repeated("\\", 99'999)}) {
    EXPECT_THAT(ConfigFiles(text).problems(), testing::StartsWith("  config.toml:"))
        << text.substr(0, 40);
  }
}

TEST(HostileToml, DeepTablesAndManyMistakesEndSoon) {
  EXPECT_EQ(ConfigFiles("[" + repeated("a.", 15) + "a]\nb = 1").problems(),
            "  config.toml:1:2: unknown section \"a\"");
  EXPECT_EQ(
      ConfigFiles("x = 'a.b.'  # ..................\n[" + repeated("a.", 16) + "a]").problems(),
      "  config.toml:2:33: a key of more parts than any option has");
  for (const std::string& text :
       {"[" + repeated("a.", 50'000) + "a]\nb = 1", repeated("a.", 500'000) + "a = 1",
        "x = [{" + repeated("a . ", 200'000) + "b = 1}]", repeated("\"a'.\".", 100'000) + "a = 1",
        "x = \"\"\"\"a.\"\"\"\"\"\n" + repeated("'\"a'.", 100'000) + "a = 1",
        repeated(repeated("a.", 15) + "a={", 255) + "a=1" + repeated("}", 255)}) {
    EXPECT_THAT(ConfigFiles(text).problems(), testing::StartsWith("  config.toml:"))
        << text.substr(0, 40);
  }
  std::string many;
  for (int i = 0; i < 20'000; ++i) {
    many += concat("key", i, " = 1\n");
  }
  EXPECT_THAT(ConfigFiles(many).problems(),
              testing::HasSubstr("too many problems; the rest of the file is not listed"));
}

TEST(HostileToml, DotsOutsideOfKeysAreNoDepth) {
  const std::string dots(1'000, '.');
  for (const std::string& text :
       {"description = \"" + dots + "\"", "description = '" + dots + "'",
        "description = \"\"\"a\\\"\n\"" + dots + "\n\"\"\"", "description = '''\n" + dots + "'''",
        "description = \"\" # " + dots}) {
    ConfigFiles files("[job]\n" + text + "\n[training]\nsteps = 3\n");
    EXPECT_EQ(files.load({"--job.config_file=config.toml"}).config.training.steps, 3) << text;
  }
}

TEST(HostileToml, LongWordsAreCutInMessages) {
  const std::string word(100'000, 'x');
  for (const std::string& text :
       {word + " = 1", "[training]\n" + word + " = 1", "[training]\nsteps = \"" + word + "\""}) {
    EXPECT_LT(ConfigFiles(text).problems().size(), 300u);
  }
}

TEST(HostileToml, DamagedFilesLoadOrComplainButNeverCrash) {
  const std::string whole = base::read_whole_file(
      base::posix_file_system(), TITAN_SOURCE_DIR "/configs/llama3/debug_model.toml", 1 << 20);
  std::mt19937 random(7);
  int complaints = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text = whole;
    for (std::size_t change = 0; change <= random() % 4; ++change) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          text.erase(at, 1 + random() % 40);
          break;
        case 2:
          text.insert(at, text.substr(random() % text.size(), 30));
          break;
        default:
          text.insert(at, 1, "[]{}\"'\\=.,#\n\0"[random() % 13]);
          break;
      }
    }
    try {
      ConfigFiles(text).load({"--job.config_file=config.toml"});
    } catch (const ConfigError&) {
      ++complaints;
    }
  }
  EXPECT_GT(complaints, 1000);
}

}  // namespace
}  // namespace titan::config
