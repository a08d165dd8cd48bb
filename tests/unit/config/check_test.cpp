#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/config/config_files.h"

namespace titan::config {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Check : public testing::Test {
 protected:
  std::string problems(std::vector<std::string> args) {
    args.push_back("--check");
    return files_.problems(std::move(args));
  }
  void passes(std::vector<std::string> args) {
    args.push_back("--check");
    files_.parse(std::move(args));
  }

  ConfigFiles files_;
};

TEST_F(Check, ReportsEveryPathThatDoesNotExistWithItsPlace) {
  for (const char* path : {"/no/assets", "/no/data", "/no/more", "/no/start"}) files_.remove(path);
  files_.write("config.toml", "[model]\nhf_assets_path = \"/no/assets\"\n");
  EXPECT_EQ(
      problems({"--job.config_file=config.toml", "--training.dataset_path=/no/data",
                "--validation.enable", "--validation.dataset_path=/no/more", "--checkpoint.enable",
                "--checkpoint.initial_load_path=/no/start", "--training.stepz=3"}),
      "  --training.stepz=3: unknown option; did you mean 'training.steps'?\n"
      "  config.toml:2:18: model.hf_assets_path: \"/no/assets\" does not exist: it names the "
      "tokenizer's folder\n"
      "  command line: training.dataset_path: \"/no/data\" does not exist: it names the "
      "training data\n"
      "  command line: validation.dataset_path: \"/no/more\" does not exist: it names the "
      "validation data\n"
      "  command line: checkpoint.initial_load_path: \"/no/start\" does not exist: it names the "
      "checkpoint to begin with");
}

TEST_F(Check, TheShippedTextIsInAClone) {
  passes({});
  files_.remove("tests/assets/c4_test");
  EXPECT_THAT(problems({}),
              HasSubstr("default of training.dataset: training.dataset: \"tests/assets/c4_test\" "
                        "does not exist"));
  passes({"--training.dataset_path=my.jsonl"});
}

TEST_F(Check, LooksAtEverySourceOfAMixture) {
  files_.remove("gone.jsonl");
  files_.write("config.toml",
               "[[data.mixture]]\npath = \"there.jsonl\"\n[[data.mixture]]\npath = "
               "\"gone.jsonl\"\n");
  const std::string said = problems({"--job.config_file=config.toml"});
  EXPECT_THAT(said, HasSubstr("data.mixture: \"gone.jsonl\" does not exist"));
  EXPECT_THAT(said, Not(HasSubstr("there.jsonl")));
}

TEST_F(Check, PathsOfWhatIsOffDoNotMatter) {
  files_.remove("gone");
  passes({"--validation.dataset_path=gone", "--checkpoint.initial_load_path=gone"});
}

TEST_F(Check, TheStartOfARunThatGoesOnDoesNotMatter) {
  files_.remove("gone");
  const std::vector<std::string> args = {"--checkpoint.enable",
                                         "--checkpoint.initial_load_path=gone"};
  files_.make_folder("./outputs/checkpoint", {"step-10"});
  passes(args);
  files_.remove("./outputs/checkpoint/step-10/.metadata");
  EXPECT_THAT(problems(args), HasSubstr("\"gone\" does not exist"));
}

TEST_F(Check, WhatARunBeginsWithIsOfItsFormat) {
  const std::vector<std::string> args = {"--checkpoint.enable",
                                         "--checkpoint.initial_load_path=there"};
  passes(args);
  files_.remove("there/.metadata");
  EXPECT_THAT(problems(args), HasSubstr("set checkpoint.initial_load_in_hf = true"));

  const std::vector<std::string> hf = {"--checkpoint.enable", "--checkpoint.initial_load_in_hf",
                                       "--checkpoint.initial_load_path=there"};
  files_.make_folder("there", {"config.json"});
  EXPECT_THAT(problems(hf), HasSubstr("\"there\" holds no .safetensors"));
  files_.make_folder("there", {"config.json", "model-00001-of-00001.safetensors"});
  passes(hf);
}

TEST_F(Check, AStepToLoadIsThere) {
  passes({"--checkpoint.enable", "--checkpoint.load_step=5"});
  files_.remove("./outputs/checkpoint/step-5/.metadata");
  EXPECT_EQ(problems({"--checkpoint.enable", "--checkpoint.load_step=5"}),
            "  command line: checkpoint.load_step: \"./outputs/checkpoint/step-5\" is no "
            "checkpoint: there is no .metadata in it");
}

TEST_F(Check, AFileWhereTheOutputShouldGo) {
  files_.remove("notes.txt/run");
  EXPECT_EQ(problems({"--job.dump_folder=notes.txt/run"}),
            "  command line: job.dump_folder: \"notes.txt\" is a file, not a folder");
}

TEST_F(Check, AsksThoseWhoKnowTheModelsBesideAllOtherProblems) {
  const ModelJudge judge = {
      .problems =
          [](const JobConfig& config, const Origins& origins, std::int64_t) {
            return Problems{{origins.of("model.name"), "no model " + config.model.name}};
          },
      .layouts = {}};
  const std::vector<std::string> args = {"--model.name=lama", "--training.steps=0"};
  const auto said = [&](std::vector<std::string> more) {
    more.insert(more.end(), args.begin(), args.end());
    return test::message_of<ConfigError>([&] { files_.parse(more, 1, std::nullopt, judge); });
  };
  EXPECT_THAT(said({"--check"}), HasSubstr("command line: no model lama"));
  EXPECT_THAT(said({"--check"}), HasSubstr("--training.steps=0: must be at least 1"));
  EXPECT_THAT(said({}), Not(HasSubstr("no model")))
      << "a mistake is reported before any library is loaded";
}

TEST_F(Check, AsksForTheModelsLayoutsOnlyWhereOneIsRefused) {
  int asked = 0;
  const ModelJudge judge = {.problems = {}, .layouts = [&](const JobConfig& config) {
                              EXPECT_EQ(config.model.flavor, "mine");
                              ++asked;
                              return [](const mesh::Degrees& degrees) { return degrees.ep == 1; };
                            }};
  const auto said = [&](const std::string& degree) {
    const std::vector<std::string> args = {"--model.flavor=mine", "--training.steps=0", degree};
    return test::message_of<ConfigError>([&] { files_.parse(args, 8, std::nullopt, judge); });
  };
  EXPECT_THAT(said("--parallelism.expert_parallel_degree=4"), Not(HasSubstr("nearest")));
  EXPECT_EQ(asked, 0) << "a mistake is reported before any library is loaded";
  EXPECT_THAT(said("--parallelism.expert_parallel_degree=3"),
              AllOf(HasSubstr("nearest valid layouts: {data_parallel_shard_degree=8}"),
                    Not(HasSubstr("_degree=8, expert"))));
  EXPECT_EQ(asked, 1);
}

TEST_F(Check, PartsThatNoCheckpointHas) {
  EXPECT_EQ(problems({"--checkpoint.exclude_from_loading=optimizer,data_loader"}),
            "  --checkpoint.exclude_from_loading=optimizer,data_loader: must be \"model\", "
            "\"optimizer\", \"lr_scheduler\", \"dataloader\", \"train_state\", "
            "\"validation\" or \"job_config\", got \"data_loader\"; did you mean "
            "'dataloader'?");
}

}  // namespace
}  // namespace titan::config
