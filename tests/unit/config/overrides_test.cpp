#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/config/options.h"
#include "unit/config/config_files.h"

namespace titan::config {
namespace {

using testing::ElementsAre;

JobConfig given(std::vector<std::string> args) {
  return ConfigFiles().load(std::move(args)).config;
}

TEST(Overrides, ValuesFollowAnEqualsSignOrABlank) {
  EXPECT_EQ(given({"--training.steps=5"}).training.steps, 5);
  EXPECT_EQ(given({"--training.steps", "5"}).training.steps, 5);
  EXPECT_EQ(given({"--job.description=a=b --c"}).job.description, "a=b --c");
  EXPECT_EQ(given({"--job.dump_folder="}).job.dump_folder, "");
}

TEST(Overrides, DashesAndUnderscoresAreTheSameInNames) {
  EXPECT_EQ(given({"--training.local-batch-size", "3"}).training.local_batch_size, 3);
  EXPECT_EQ(given({"--training.local_batch-size=3"}).training.local_batch_size, 3);
  EXPECT_EQ(given({"--lr-scheduler.decay-ratio=0.5"}).lr_scheduler.decay_ratio, 0.5);
  EXPECT_EQ(given({"--optimizer.implementation=for-loop"}).optimizer.implementation,
            OptimizerImplementation::kForLoop);
}

TEST(Overrides, NumbersMayBeNegative) {
  EXPECT_EQ(given({"--training.global_batch_size", "-1"}).training.global_batch_size, -1);
  EXPECT_EQ(given({"--debug.seed=-7"}).debug.seed, -7);
  EXPECT_EQ(given({"--debug.seed", "-7"}).debug.seed, -7);
  EXPECT_EQ(given({"--debug.seed=+7"}).debug.seed, 7);
  EXPECT_EQ(given({"--optimizer.lr", "1e-3"}).optimizer.lr, 1e-3);
  EXPECT_EQ(given({"--optimizer.lr", "1"}).optimizer.lr, 1.0);
  EXPECT_EQ(given({"--training.max_norm=inf"}).training.max_norm,
            std::numeric_limits<double>::infinity());
}

TEST(Overrides, NumbersAsPythonReadsThem) {
  EXPECT_EQ(given({"--training.steps=1_000"}).training.steps, 1000);
  EXPECT_EQ(given({"--training.steps= 5"}).training.steps, 5);
  EXPECT_EQ(given({"--training.steps", "\t5 \n"}).training.steps, 5);
  EXPECT_EQ(given({"--training.steps=007"}).training.steps, 7);
  EXPECT_EQ(given({"--optimizer.lr= 1_0.2_5e-0_4 "}).optimizer.lr, 10.25e-4);
  EXPECT_EQ(given({"--training.max_norm= Infinity"}).training.max_norm,
            std::numeric_limits<double>::infinity());
  for (const char* wrong : {"_1", "1_", "1__0", "1 0", " ", "", "0x10", "1_.", "+-1", "- 1"}) {
    EXPECT_THAT(ConfigFiles().problems({std::string("--training.steps=") + wrong}),
                testing::HasSubstr("must be an integer"))
        << wrong;
  }
  EXPECT_THAT(ConfigFiles().problems({"--optimizer.lr=nan(1)"}),
              testing::HasSubstr("must be a number"));
}

TEST(Overrides, AnyNegativeBatchSizeAccumulatesNothing) {
  const Training training = given({"--training.global_batch_size=-5"}).training;
  EXPECT_EQ(training.global_batch_size, -5);
  EXPECT_EQ(training.accumulation_steps(4), 1);
  ConfigFiles().parse({"--training.global_batch_size=-5"}, 1);  // no rule is broken
  EXPECT_EQ(ConfigFiles().problems({"--training.global_batch_size=0"}),
            "  --training.global_batch_size=0: must be negative or at least 1, got 0");
}

TEST(Overrides, WordsInAnyCaseWhereTheOriginalTakesThem) {
  EXPECT_EQ(given({"--checkpoint.async_mode=ASYNC"}).checkpoint.async_mode, AsyncMode::kAsync);
  ConfigFiles files("[checkpoint]\nasync_mode = \"Async_With_Pinned_Mem\"\n");
  EXPECT_EQ(files.load({"--job.config_file=config.toml"}).config.checkpoint.async_mode,
            AsyncMode::kAsyncWithPinnedMem);
  EXPECT_THAT(ConfigFiles().problems({"--optimizer.name=ADAMW"}), testing::HasSubstr("must be"));
}

TEST(Overrides, EverySpellingOfASwitch) {
  for (const char* on : {"--checkpoint.enable", "--checkpoint.enable=true",
                         "--checkpoint.enable=True", "--checkpoint.enable=1"}) {
    EXPECT_TRUE(given({on}).checkpoint.enable) << on;
  }
  for (const char* off :
       {"--checkpoint.no-enable", "--checkpoint.no_enable", "--no-checkpoint.enable",
        "--no_checkpoint.enable", "--checkpoint.enable=false", "--checkpoint.enable=False",
        "--checkpoint.enable=0"}) {
    EXPECT_FALSE(given({"--checkpoint.enable", off}).checkpoint.enable) << off;
  }
  EXPECT_TRUE(given({"--checkpoint.enable", "True"}).checkpoint.enable);
  EXPECT_FALSE(given({"--checkpoint.enable", "false"}).checkpoint.enable);
  EXPECT_TRUE(given({"--checkpoint.no-enable", "--checkpoint.enable"}).checkpoint.enable);
  EXPECT_FALSE(given({"--activation_checkpoint.no-early-stop"}).activation_checkpoint.early_stop);
}

TEST(Overrides, AListIsOneArgumentAndBlanksCount) {
  const std::string option = "--quantize.linear.mx.filter_fqns";
  const auto list = [](const JobConfig& config) { return config.quantize.linear.mx.filter_fqns; };
  EXPECT_THAT(list(given({option, "a, b"})), ElementsAre("a", " b"));
  EXPECT_THAT(list(given({option + "="})), ElementsAre(""));
  EXPECT_EQ(ConfigFiles().problems({option, "a", "b"}), "  b: unexpected argument");
}

TEST(Overrides, EveryListCanBeEmptied) {
  int lists = 0;
  for (const Option& option : options()) {
    const bool is_list =
        option.type == ValueType::kStringList || option.type == ValueType::kStringLists;
    if (!is_list || option.given_by == GivenBy::kCommandLineOnly) continue;
    ++lists;
    const Value empty =
        option.type == ValueType::kStringList ? Value(StringList{}) : Value(StringLists{});
    for (const char* text : {"[]", "[ ]"}) {
      const std::string name = "--" + option.full_name();
      EXPECT_EQ(option.get(given({name + "=" + text})), empty) << name;
      EXPECT_EQ(option.get(given({name, text})), empty) << name;
    }
  }
  EXPECT_GE(lists, 11);
}

TEST(Overrides, AListMayBeWrittenAsInTomlOrJson) {
  const auto prompts = [](const std::string& text) {
    return given({"--validation.sample_prompts=" + text}).validation.sample_prompts;
  };
  EXPECT_THAT(prompts(R"(["The", "x"])"), ElementsAre("The", "x"));
  EXPECT_THAT(prompts(R"(["Yes, [I]", ""])"), ElementsAre("Yes, [I]", ""));
  EXPECT_THAT(prompts("['a\\b', \"c\",\n]"), ElementsAre("a\\b", "c")) << "TOML";
  EXPECT_THAT(prompts(R"(["a\/b \ud83d\ude00"])"), ElementsAre("a/b \xf0\x9f\x98\x80")) << "JSON";
  for (const std::string text :
       {"[INST] Hi [/INST]", "[hello]", "[1]", "[\"a\"]]", "[\"a\"", "[\"a\"]\nb = [\"c\"]"}) {
    EXPECT_THAT(prompts(text), ElementsAre(text)) << "no list of strings";
  }
  EXPECT_THAT(prompts("[a,b]"), ElementsAre("[a", "b]"));
  const std::string deep = std::string(50'000, '[') + std::string(50'000, ']');
  EXPECT_THAT(prompts(deep), ElementsAre(deep));
  std::string deep_key = "[{a";
  for (int i = 0; i < 50'000; ++i) deep_key += ".a";
  EXPECT_THAT(prompts(deep_key + "=1}]"), ElementsAre(deep_key + "=1}]"));
  EXPECT_EQ(ConfigFiles().problems({"--validation.sample_prompts=[\"\\u0000\"]"}),
            "  --validation.sample_prompts=[\"\\u0000\"]: must be UTF-8 text without NUL");
}

TEST(Overrides, AnEmptyTextIsAListOfOneAsInTheOriginal) {
  EXPECT_THAT(given({"--validation.sample_prompts="}).validation.sample_prompts, ElementsAre(""));
  EXPECT_EQ(ConfigFiles().problems({"--compile.components="}),
            "  --compile.components=: must be \"model\", \"loss\" or \"optimizer\", got \"\"; the "
            "empty list "
            "is []");
}

TEST(Overrides, AListOfListsTakesSeveralArguments) {
  const std::string option = "--parallelism.module_fqns_per_model_part";
  const auto parts = [&](std::vector<std::string> args) {
    return given(std::move(args)).parallelism.module_fqns_per_model_part;
  };
  const std::vector<std::vector<std::string>> two = {{"tok", "layers.0"}, {"norm", "output"}};
  EXPECT_EQ(parts({option, "tok,layers.0", "norm,output", "--training.steps=3"}), two);
  EXPECT_EQ(parts({option + "=tok,layers.0", "norm,output"}), two);
  EXPECT_EQ(parts({option, "x", option, "tok,layers.0", "norm,output"}), two);
  EXPECT_EQ(parts({option, "x", option, "None"}), std::nullopt);
  EXPECT_EQ(parts({option, R"([["tok", "layers.0"], ['norm', 'output']])"}), two);
  EXPECT_EQ(parts({option, R"(["tok", "layers.0"])", "norm,output"}), two);
  EXPECT_THAT(*parts({option, R"(["tok", "layers.0"])"}), ElementsAre(two.front()));
  EXPECT_THAT(ConfigFiles().problems({option, "a,\xff"}), testing::HasSubstr("UTF-8"));
}

TEST(Overrides, NoneIsNoValueWhereThatIsAllowed) {
  EXPECT_EQ(given({"--lr_scheduler.decay_ratio=0.5", "--lr_scheduler.decay_ratio", "None"})
                .lr_scheduler.decay_ratio,
            std::nullopt);
  EXPECT_EQ(given({"--parallelism.context_parallel_load_balancer=None"})
                .parallelism.context_parallel_load_balancer,
            std::nullopt);
  EXPECT_EQ(given({"--job.description=None"}).job.description, "None");
  EXPECT_EQ(ConfigFiles().problems({"--training.steps=None"}),
            "  --training.steps=None: must be an integer, got \"None\"");
}

TEST(Overrides, TheLastOfARepeatedOptionWins) {
  EXPECT_EQ(given({"--training.steps=5", "--training.steps", "6"}).training.steps, 6);
}

TEST(Overrides, EveryProblemIsReported) {
  EXPECT_EQ(
      ConfigFiles().problems({"--training.stpes=5", "--chekc", "--no-training.steps",
                              "--training.steps", "1e-3", "--training.seq_len=12x", "--lr", "1",
                              "--optimizer.lr=nan", "--checkpoint.no-enable=true",
                              "--checkpoint.enable=yes", "--debug.seed=9223372036854775808",
                              "--optimizer.param_groups=x", "check", "--debug.on_nan=stpo",
                              "--training.dtype"}),
      "  --training.stpes=5: unknown option; did you mean 'training.steps'?\n"
      "  --chekc: unknown option; did you mean '--check'?\n"
      "  --no-training.steps: unknown option; did you mean 'training.steps'?\n"
      "  --training.steps 1e-3: must be an integer, got \"1e-3\"\n"
      "  --training.seq_len=12x: must be an integer, got \"12x\"\n"
      "  --lr 1: unknown option; did you mean 'optimizer.lr'?\n"
      "  --optimizer.lr=nan: must be at least 0, got nan\n"
      "  --checkpoint.no-enable=true: takes no value: it is already false\n"
      "  --checkpoint.enable=yes: must be true or false, got \"yes\"\n"
      "  --debug.seed=9223372036854775808: is out of range: \"9223372036854775808\" does not fit "
      "into 64 bits\n"
      "  --optimizer.param_groups=x: optimizer.param_groups can only be given in a TOML file\n"
      "  check: unexpected argument; did you mean '--check'?\n"
      "  --debug.on_nan=stpo: must be \"stop\", \"skip\" or \"rollback\", got \"stpo\"; did you "
      "mean 'stop'?\n"
      "  --training.dtype: needs a value");
}

TEST(Overrides, AnOverriddenMistakeIsStillAMistake) {
  EXPECT_EQ(ConfigFiles().problems({"--training.steps=abc", "--training.steps=3"}),
            "  --training.steps=abc: must be an integer, got \"abc\"");
}

TEST(Overrides, BytesThatAreNotTextAreRefused) {
  EXPECT_EQ(ConfigFiles().problems({"--job.description=\xff"}),
            "  --job.description=\xff: must be UTF-8 text without NUL");
  EXPECT_EQ(given({"--job.description=\xe2\x82\xac"}).job.description, "\xe2\x82\xac");
}

}  // namespace
}  // namespace titan::config
