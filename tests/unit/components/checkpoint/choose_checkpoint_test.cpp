#include "components/checkpoint/choose_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "support/temporary_folder.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/dcp_save.h"

namespace titan::components {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using Source = CheckpointChoice::Source;

/// Checkpoints as runs leave them.
class ChooseCheckpoint : public testing::Test {
 protected:
  void save(const std::string& folder, bool everything) {
    FlatState state;
    state.objects.push_back({{"some_model"}, formats::PickleValue::integer(1)});
    if (everything)
      state.objects.push_back({{"train_state", "step"}, formats::PickleValue::integer(1)});
    DcpSaver(files_, nullptr).save(folder, state);
  }
  void full(std::int64_t step) { save(run_.of_step(step), true); }
  void model_only(std::int64_t step) { save(run_.of_step(step), false); }
  void hugging_face(const std::string& folder) {
    files_.create_directories(folder);
    base::write_file_atomically(files_, folder + "/model.safetensors.index.json", "{}");
  }
  void cut_off(std::int64_t step) {
    files_.create_directories(run_.of_step(step));
    base::write_file_atomically(files_, run_.of_step(step) + "/__0_0.distcp", "half of it");
  }

  CheckpointChoice choose() { return choose_checkpoint(files_, run_, config_, 100, assets_); }
  std::string refusal() {
    try {
      choose();
    } catch (const RunError& error) {
      return error.what();
    }
    ADD_FAILURE() << "nothing is refused";
    return "";
  }

  test::TemporaryFolder folder_;
  base::FileSystem& files_ = base::posix_file_system();
  RunCheckpoints run_{files_, (folder_ / "checkpoint")};
  std::string assets_ = (folder_ / "assets");
  config::Checkpoint config_;
};

TEST_F(ChooseCheckpoint, WithoutAnyTrainingStartsFromScratch) {
  EXPECT_EQ(choose().source, Source::kNothing);
  cut_off(10);
  EXPECT_EQ(choose().source, Source::kNothing);
  EXPECT_THAT(choose().reason, HasSubstr("no complete checkpoint"));
}

TEST_F(ChooseCheckpoint, TheNewestIsTheOneOfTheHighestStep) {
  full(9);
  full(20);
  cut_off(30);
  files_.create_directories((folder_ / "checkpoint/step-99x"));
  EXPECT_EQ(choose().path, run_.of_step(20));
  EXPECT_FALSE(choose().model_only);
}

TEST_F(ChooseCheckpoint, AnInitialLoadIsForRunsWithoutACheckpoint) {
  save((folder_ / "other/step-7"), true);
  config_.initial_load_path = (folder_ / "other/step-7");
  cut_off(10);  // a folder that holds nothing whole is as good as none
  EXPECT_EQ(choose().path, *config_.initial_load_path);
  EXPECT_TRUE(choose().model_only);
  config_.initial_load_model_only = false;
  EXPECT_FALSE(choose().model_only);
  full(20);
  EXPECT_EQ(choose().path, run_.of_step(20));
  EXPECT_THAT(choose().reason, HasSubstr("for the start of this run"));
}

TEST_F(ChooseCheckpoint, AnInitialLoadThatIsNotThereIsAnError) {
  config_.initial_load_path = (folder_ / "nowhere");
  EXPECT_THAT(refusal(), HasSubstr("there is no such folder"));
  hugging_face((folder_ / "hf"));
  config_.initial_load_path = (folder_ / "hf");
  EXPECT_THAT(refusal(), HasSubstr("initial_load_in_hf = true"));
  config_.initial_load_in_hf = true;
  EXPECT_EQ(choose().source, Source::kHuggingFace);
  config_.initial_load_path.reset();
  EXPECT_THAT(refusal(), HasSubstr("model.hf_assets_path"));
}

TEST_F(ChooseCheckpoint, AStepThatIsAskedForMustBeThere) {
  config_.load_step = 10;
  EXPECT_THAT(refusal(), HasSubstr("holds no complete checkpoint"));
  full(5);
  full(20);
  EXPECT_THAT(refusal(), HasSubstr("the steps 5, 20"));
  config_.load_step = 5;
  EXPECT_EQ(choose().path, run_.of_step(5));
  EXPECT_THAT(choose().reason, HasSubstr("later checkpoints are set aside"));
  config_.load_only = true;
  EXPECT_THAT(choose().reason, HasSubstr("later checkpoints stay"));
  model_only(5);
  EXPECT_THAT(refusal(), HasSubstr("holds a model only"));
}

TEST_F(ChooseCheckpoint, TheSeedIsAModelOnly) {
  const auto expect_model = [&](Source source) {
    for (const std::int64_t load_step : {-1, 0}) {
      config_.load_step = load_step;
      EXPECT_TRUE(choose().model_only);
      EXPECT_FALSE(choose().finished_at);
      EXPECT_EQ(choose().source, source);
    }
  };
  model_only(0);
  expect_model(Source::kDcp);
  full(0);  // as others save it
  expect_model(Source::kDcp);
  files_.remove_file(run_.of_step(0) + "/.metadata");
  hugging_face(run_.of_step(0));
  expect_model(Source::kHuggingFace);
}

TEST_F(ChooseCheckpoint, ACompleteRunHasNothingLeftToDo) {
  full(90);
  model_only(100);
  EXPECT_EQ(choose().finished_at, 100);
  EXPECT_EQ(choose().source, Source::kDcp);
  files_.remove_file(run_.of_step(100) + "/.metadata");
  hugging_face(run_.of_step(100));
  EXPECT_EQ(choose().finished_at, 100);
  EXPECT_EQ(choose().source, Source::kHuggingFace);
}

TEST_F(ChooseCheckpoint, ALongerRunGoesOnFromTheNewestFullOne) {
  model_only(80);
  EXPECT_THAT(refusal(), HasSubstr("cannot resume"));
  full(70);
  EXPECT_EQ(choose().path, run_.of_step(70));
  EXPECT_THAT(choose().reason, HasSubstr("step 80 holds a model only"));
}

TEST_F(ChooseCheckpoint, PartsThatAreExcludedMustExist) {
  const std::vector<std::string> states = {"model", "optimizer", "dataloader"};
  CheckpointChoice choice;
  EXPECT_THAT(states_to_load(choice, {"dataloader"}, states), ElementsAre("model", "optimizer"));
  EXPECT_THAT([&] { states_to_load(choice, {"data"}, states); },
              ThrowsMessage<ConfigError>(HasSubstr("parts are: model, optimizer, dataloader")));
  choice.model_only = true;
  EXPECT_THAT(states_to_load(choice, {}, states), ElementsAre("model"));
}

TEST_F(ChooseCheckpoint, WhatIsSuperfluousIsOldOrBroken) {
  for (const std::int64_t step : {1, 2, 3, 4}) full(step);
  cut_off(5);
  files_.remove_file(run_.of_step(2) + "/.metadata");
  EXPECT_THAT(run_.superfluous(2, 4), ElementsAre(run_.of_step(1), run_.of_step(2)));
  EXPECT_THAT(run_.superfluous(0, 4), ElementsAre()) << "0 keeps all";
  EXPECT_THAT(run_.superfluous(9, 4), ElementsAre(run_.of_step(2)));
  EXPECT_THAT(run_.superfluous(1, 3), ElementsAre(run_.of_step(1), run_.of_step(2)))
      << "what is beyond the newest is nobody's business";
  run_.remove(run_.of_step(1));
  EXPECT_FALSE(files_.exists(run_.of_step(1)));
}

/// Somebody's files, and whether they are still there.
class RemoveCheckpoint : public ChooseCheckpoint {
 protected:
  RemoveCheckpoint() {
    full(2);
    files_.create_directories(folder_ / "mine/deep");
    for (const std::string& path : theirs()) base::write_file_atomically(files_, path, "mine");
  }
  std::vector<std::string> theirs() const {
    return {folder_ / "mine/.metadata", folder_ / "mine/a", folder_ / "mine/deep/b"};
  }
  void link(const std::string& name, const std::string& to) {
    std::filesystem::create_symlink(to, run_.of_step(2) + "/" + name);
  }
  void expect_theirs() {
    for (const std::string& path : theirs()) EXPECT_TRUE(files_.exists(path)) << path;
  }
};

TEST_F(RemoveCheckpoint, WhatLinksNameStays) {
  link("a_folder", folder_ / "mine");
  link("a_relative_folder", "../../mine/deep");
  link("a_file", folder_ / "mine/a");
  link("nothing", folder_ / "nowhere");
  link("itself", run_.of_step(2) + "/itself");
  files_.create_directories(run_.of_step(2) + "/notes/more");
  std::filesystem::create_symlink(folder_ / "mine", run_.of_step(2) + "/notes/more/a_folder");
  run_.remove(run_.of_step(2));
  EXPECT_FALSE(files_.exists(run_.of_step(2)));
  expect_theirs();
}

TEST_F(RemoveCheckpoint, AMarkThatIsALinkIsRemovedAlone) {
  files_.remove_file(run_.of_step(2) + "/.metadata");
  link(".metadata", folder_ / "mine/.metadata");
  run_.remove(run_.of_step(2));
  EXPECT_FALSE(files_.exists(run_.of_step(2)));
  expect_theirs();
}

TEST_F(RemoveCheckpoint, OfOneThatWasMovedAwayAndLinkedTheLinkGoes) {
  std::filesystem::create_symlink("../mine", run_.of_step(4));
  const std::vector<FoundCheckpoint> found = run_.complete();
  ASSERT_THAT(found, testing::SizeIs(2));
  EXPECT_FALSE(run_.is_link(found[0]));
  EXPECT_TRUE(run_.is_link(found[1]));
  run_.remove(run_.of_step(4));
  EXPECT_THAT(run_.complete(), testing::SizeIs(1));
  expect_theirs();
}

/// All of the run's checkpoints may lie behind a link.
TEST_F(RemoveCheckpoint, TheWayToTheFolderMayBeALink) {
  std::filesystem::create_symlink(folder_ / "checkpoint", folder_ / "way");
  const RunCheckpoints run(files_, folder_ / "way/");
  ASSERT_THAT(run.complete(), testing::SizeIs(1));
  EXPECT_FALSE(run.is_link(run.complete()[0]));
  run.remove(run.complete()[0].path);
  EXPECT_THAT(run_.complete(), ElementsAre());
}

TEST_F(ChooseCheckpoint, WhatIsSetAsideIsFoundUnderAnotherNameOnly) {
  for (const std::int64_t step : {2, 4}) full(step);
  model_only(6);
  EXPECT_THAT(run_.full_beyond(2), ElementsAre(testing::Field(&FoundCheckpoint::step, 4)));
  ASSERT_THAT(run_.beyond(2), testing::SizeIs(2));
  EXPECT_EQ(run_.set_aside(run_.beyond(2)[0]), (folder_ / "checkpoint/abandoned-4"));
  full(4);
  EXPECT_EQ(run_.set_aside(run_.beyond(2)[0]), (folder_ / "checkpoint/abandoned-4.2"));
  EXPECT_EQ(choose().path, run_.of_step(2));
  config_.initial_load_path = (folder_ / "checkpoint/abandoned-4");
  const RunCheckpoints another(files_, folder_ / "another");
  EXPECT_EQ(choose_checkpoint(files_, another, config_, 100, assets_).path,
            *config_.initial_load_path);
}

}  // namespace
}  // namespace titan::components
