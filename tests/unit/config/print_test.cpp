#include "titan/config/print.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "titan/config/options.h"
#include "unit/config/config_files.h"

namespace titan::config {
namespace {

/// Draws values that an option accepts, odd ones preferred.
class RandomSettings {
 public:
  explicit RandomSettings(unsigned seed) : random_(seed) {}

  JobConfig config() {
    JobConfig config;
    for (const Option& option : options()) {
      if (option.given_by != GivenBy::kCommandLineOnly && random_() % 2 == 0) {
        option.set(config, value(option));
      }
    }
    // Deprecated spellings are replaced on loading.
    config.model.tokenizer_path.reset();
    std::erase(config.model.converters, "float8");
    return config;
  }

 private:
  Value value(const Option& option) {
    if (option.nullable && random_() % 4 == 0) {
      return Value();
    }
    for (;;) {
      Value drawn = any_value(option);
      if (option.complaint_about(drawn).empty()) {
        return drawn;
      }
    }
  }

  Value any_value(const Option& option) {
    switch (option.type) {
      case ValueType::kBool:
        return random_() % 2 == 0;
      case ValueType::kInteger:
        return integer();
      case ValueType::kFloat:
        return number();
      case ValueType::kString:
        if (!option.choices.empty()) return choice(option);
        return option.holds == nullptr ? word() : std::string("17");
      case ValueType::kChoice:
        return choice(option);
      case ValueType::kStringList:
        return list(option);
      case ValueType::kStringLists:
        return StringLists{list(option), {}, list(option)};
      case ValueType::kParamGroups:
        return std::vector<ParamGroup>{{"norm\\.\"weight\"$", number(), std::nullopt},
                                       {"x", std::nullopt, number()}};
      case ValueType::kMixtureParts:
        return std::vector<MixturePart>{{word() + "x", number(), ""}, {"y", 1, "megatron"}};
    }
    return Value();
  }

  /// Of any size: some options have narrow ranges.
  std::int64_t integer() {
    const std::uint64_t drawn = random_();
    const unsigned shift = random_() % 32;
    return static_cast<std::int64_t>(random_() % 2 == 0 ? drawn << shift : drawn >> shift);
  }

  double number() {
    switch (random_() % 4) {
      case 0:
        return std::uniform_real_distribution(0.0, 1.0)(random_);
      case 1:
        return std::ldexp(static_cast<double>(random_()), static_cast<int>(random_() % 900));
      case 2:
        return std::ldexp(1.0, -static_cast<int>(random_() % 1000));
      default:
        return static_cast<double>(random_() % 2);
    }
  }

  std::string word() {
    constexpr std::array<std::string_view, 10> kPieces = {
        "a", "\"", "\\", "\n", "\t", "\x01", "\x7f", "# ", "\xe2\x82\xac", "'''"};
    std::string text;
    while (random_() % 5 != 0) {
      text += kPieces[random_() % kPieces.size()];
    }
    return text;
  }

  std::string choice(const Option& option) {
    return std::string(option.choices[random_() % option.choices.size()]);
  }

  StringList list(const Option& option) {
    StringList words;
    while (random_() % 3 != 0) {
      words.push_back(option.choices.empty() ? word() : choice(option));
    }
    return words;
  }

  std::mt19937 random_;
};

TEST(PrintConfig, LoadingWhatIsPrintedGivesTheSameConfig) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    const JobConfig config = RandomSettings(seed).config();
    ConfigFiles files(print_config(config, Origins()));
    JobConfig again = files.load({"--job.config_file=config.toml"}).config;
    again.job.config_file.clear();
    ASSERT_EQ(again, config) << print_config(config, Origins());
  }
}

TEST(PrintConfig, EachValueComesWithItsOrigin) {
  ConfigFiles files;
  files.write("bad\nname.toml", "[optimizer]\nlr = 1\n");
  const CommandLine line = files.load({"--job.config_file=bad\nname.toml", "--training.steps=3",
                                       "--parallelism.context_parallel_load_balancer=None"});
  const std::string text = print_config(line.config, line.origins);
  EXPECT_THAT(text, testing::HasSubstr("\nlr = 1.0                                        "
                                       "# bad\\nname.toml:2:6\n"));
  EXPECT_THAT(text, testing::HasSubstr("\nsteps = 3                                       "
                                       "# command line\n"));
  EXPECT_THAT(text, testing::HasSubstr("\n# decay_ratio = None                            "
                                       "# default\n"));
  EXPECT_THAT(text, testing::HasSubstr("\n# config_file = [\"bad\\nname.toml\"]              "
                                       "# command line\n"));
  EXPECT_THAT(text, testing::HasSubstr("\ncontext_parallel_load_balancer = \"None\"  "));
}

TEST(PrintConfig, JsonHasTheSectionsNested) {
  JobConfig config;
  config.compile.components = {"model", "loss"};
  config.training.dataset_path = "a\"b";
  const std::string json = config_json(config);
  EXPECT_THAT(json, testing::StartsWith("{\n  \"job\": {\n    \"config_file\": [],\n"));
  EXPECT_THAT(json, testing::HasSubstr("\"dataset_path\": \"a\\\"b\",\n"));
  EXPECT_THAT(json, testing::HasSubstr("    \"dataloader\": {\n      \"num_workers\": 0,\n"));
  EXPECT_THAT(json, testing::HasSubstr("    \"components\": [\n      \"model\",\n      \"loss\"\n"
                                       "    ],\n"));
  EXPECT_THAT(json,
              testing::HasSubstr("  \"quantize\": {\n    \"linear\": {\n      \"float8\": {"));
  EXPECT_THAT(json, testing::HasSubstr("      }\n    },\n    \"grouped_mm\": {\n"));
  EXPECT_THAT(json, testing::EndsWith("    \"log_hashes\": false\n  }\n}\n"));
}

TEST(Documentation, IsFresh) {
  const std::string shipped =
      base::read_whole_file(base::posix_file_system(), TITAN_SOURCE_DIR "/docs/config.md", 1 << 20);
  EXPECT_TRUE(shipped == config_markdown())
      << "run `titan_train --help-markdown > docs/config.md` and commit the result";
}

TEST(Documentation, HelpNamesEveryOption) {
  const std::string help = help_text();
  for (const Option& option : options()) {
    EXPECT_THAT(help, testing::HasSubstr(option.full_name() + "\n"));
    EXPECT_FALSE(option.help.empty()) << option.full_name();
  }
  EXPECT_THAT(help, testing::HasSubstr("--world-size"));
}

}  // namespace
}  // namespace titan::config
