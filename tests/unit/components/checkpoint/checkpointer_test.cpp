#include "titan/components/checkpoint/checkpointer.h"

#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "components/checkpoint/run_checkpoints.h"
#include "components/checkpoint/upkeep.h"
#include "support/crashing_file_system.h"
#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/components/checkpoint/dcp_save.h"

namespace titan::components {
namespace {

using config::AsyncMode;
using testing::ElementsAre;
using testing::HasSubstr;

/// A model of one tensor that is full of the number of the step.
class Weights : public Stateful {
 public:
  explicit Weights(at::Tensor& tensor) : tensor_(tensor) {}
  std::string name() const override { return "model"; }
  void add_to(FlatState& state) override { state.tensors.push_back({{"weight"}, tensor_}); }

 private:
  at::Tensor& tensor_;
};

class CheckpointerTest : public testing::TestWithParam<AsyncMode> {
 protected:
  CheckpointerTest() { config_.async_mode = GetParam(); }

  std::unique_ptr<Checkpointer> make() {
    CheckpointerSetup setup{files_, config_};
    setup.folder = folder_ / "checkpoint";
    setup.last_step = 100;
    std::vector<std::unique_ptr<Stateful>> states;
    states.push_back(std::make_unique<Weights>(weights_));
    states.push_back(train_state(step_, tokens_, 1));
    return std::make_unique<Checkpointer>(std::move(setup), std::move(states));
  }

  void train_to(Checkpointer& checkpointer, std::int64_t last) {
    while (step_ < last) {
      checkpointer.before_change();
      weights_.fill_(++step_);
      checkpointer.save(step_, SaveReason::kInterval);
    }
  }

  /// What a new run begins with: the step, and the number that the weights are full of.
  std::pair<std::int64_t, double> resumed() {
    step_ = -1;
    weights_.fill_(-1);
    make()->load();
    EXPECT_TRUE(weights_.eq(weights_[0]).all().item<bool>()) << "some of one step, some of another";
    return {step_, weights_[0].item<double>()};
  }

  std::vector<std::int64_t> kept() {
    std::vector<std::int64_t> steps;
    for (const FoundCheckpoint& found : RunCheckpoints(files_, folder_ / "checkpoint").complete()) {
      steps.push_back(found.step);
    }
    return steps;
  }

  test::TemporaryFolder folder_;
  test::FaultyFileSystem files_;
  config::Checkpoint config_;
  at::Tensor weights_ = at::full({100'000}, 0.0);
  std::int64_t step_ = 0;
  std::int64_t tokens_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Modes, CheckpointerTest,
                         testing::Values(AsyncMode::kDisabled, AsyncMode::kAsync,
                                         AsyncMode::kAsyncWithPinnedMem));

TEST_P(CheckpointerTest, HoldsTheStateOfItsStepWhateverTrainingDoesMeanwhile) {
  config_.keep_latest_k = 3;
  const auto checkpointer = make();
  train_to(*checkpointer, 9);
  checkpointer->finish();
  EXPECT_EQ(resumed(), std::pair(std::int64_t{9}, 9.0));
  EXPECT_THAT(kept(), ElementsAre(7, 8, 9));
}

TEST_P(CheckpointerTest, ASaveThatFailsIsNotTheEndAndTheNextIsTried) {
  auto checkpointer = make();
  train_to(*checkpointer, 2);
  checkpointer->finish();
  files_.fail_call(3, EIO, 1'000'000);
  train_to(*checkpointer, 3);
  checkpointer->finish();
  files_.repair();
  EXPECT_THAT(kept(), ElementsAre(1, 2));
  train_to(*checkpointer, 4);
  checkpointer.reset();
  EXPECT_THAT(kept(), ElementsAre(1, 2, 4));
  EXPECT_EQ(resumed(), std::pair(std::int64_t{4}, 4.0));
}

TEST_P(CheckpointerTest, TheLastSaveThatFailsIsAnError) {
  config_.last_save_model_only = false;
  const auto checkpointer = make();
  train_to(*checkpointer, 1);
  checkpointer->finish();
  files_.leave_space(1000);
  EXPECT_THAT(test::message_of<RunError>([&] { checkpointer->save(2, SaveReason::kLast); }),
              HasSubstr("step-2"));
  files_.repair();
  EXPECT_THAT(kept(), ElementsAre(1));
}

TEST_P(CheckpointerTest, ASeedIsTheExactModelAndNothingElse) {
  config_.last_save_model_only = GetParam() == AsyncMode::kDisabled;
  config_.export_dtype = config::ExportDType::kBFloat16;
  weights_.fill_(1.0 + 1.0 / 4096);
  step_ = 7;
  make()->save(0, SaveReason::kSeed);
  EXPECT_EQ(resumed(), std::pair(std::int64_t{-1}, 1.0 + 1.0 / 4096));
  EXPECT_THAT(test::message_of<RunError>([&] { make()->save(0, SaveReason::kSeed); }),
              HasSubstr("holds checkpoints already"));
  config_.load_only = true;
  EXPECT_THROW(make()->save(0, SaveReason::kSeed), ConfigError);
}

TEST_P(CheckpointerTest, AFailedSaveLeavesNoFolder) {
  const auto checkpointer = make();
  train_to(*checkpointer, 1);
  checkpointer->finish();
  files_.leave_space(1000);
  train_to(*checkpointer, 3);
  checkpointer->finish();
  EXPECT_THROW(checkpointer->save(4, SaveReason::kCutShort), RunError);
  files_.repair();
  EXPECT_THAT(files_.list_directory(folder_ / "checkpoint"), ElementsAre("step-1"));
}

TEST_P(CheckpointerTest, AFailedSaveOverACheckpointLeavesWhatIsNotItsOwn) {
  train_to(*make(), 2);
  base::write_file_atomically(files_, folder_ / "checkpoint/step-2/notes", "mine");
  const auto checkpointer = make();
  files_.leave_space(1000);
  step_ = 1;
  train_to(*checkpointer, 2);
  checkpointer->finish();
  files_.repair();
  EXPECT_TRUE(files_.exists(folder_ / "checkpoint/step-2/notes"));
}

TEST_P(CheckpointerTest, KeepsNoMoreWhenTrainingIsOver) {
  config_.keep_latest_k = 2;
  for (const SaveReason reason : {SaveReason::kCutShort, SaveReason::kLast}) {
    auto checkpointer = make();
    const std::int64_t first = step_;
    train_to(*checkpointer, first + 3);
    checkpointer->save(first + 4, reason);
    checkpointer.reset();
    EXPECT_THAT(kept(), ElementsAre(first + 3, first + 4));
  }
}

TEST_P(CheckpointerTest, LoadOnlySavesNothing) {
  config_.load_only = true;
  const auto checkpointer = make();
  train_to(*checkpointer, 2);
  checkpointer->save(2, SaveReason::kLast);
  EXPECT_THAT(kept(), ElementsAre());
}

/// What a run saves after it has gone back is the newest there is, whatever numbers the steps of the
/// branch that it left have.
TEST_P(CheckpointerTest, GoingBackBeginsABranchOfItsOwn) {
  train_to(*make(), 6);
  config_.keep_latest_k = 2;
  config_.load_step = 2;
  auto checkpointer = make();
  checkpointer->load();
  EXPECT_EQ(step_, 2);
  EXPECT_THAT(kept(), ElementsAre(1, 2)) << "said and done before anything is trained";
  train_to(*checkpointer, 4);
  checkpointer->finish();
  checkpointer.reset();
  EXPECT_THAT(kept(), ElementsAre(3, 4));
  for (const char* left : {"3", "4", "5", "6"}) {
    EXPECT_TRUE(files_.exists((folder_ / "checkpoint/abandoned-") + left + "/.metadata")) << left;
  }
  config_.load_step = -1;
  EXPECT_EQ(resumed(), std::pair(std::int64_t{4}, 4.0));
}

TEST_P(CheckpointerTest, WhoOnlyLooksAtAnEarlierStepLeavesNoBranch) {
  train_to(*make(), 4);
  config_.load_step = 2;
  config_.load_only = true;
  make()->load();
  EXPECT_THAT(kept(), ElementsAre(1, 2, 3, 4));
}

/// A run may count its steps anew in a folder that holds later ones.
TEST_P(CheckpointerTest, WhatARunSavesIsNewerThanWhatItFound) {
  train_to(*make(), 6);
  config_.keep_latest_k = 2;
  config_.exclude_from_loading = {"train_state"};
  const auto checkpointer = make();
  step_ = 0;
  checkpointer->load();
  EXPECT_EQ(step_, 0);
  EXPECT_THAT(kept(), ElementsAre(1, 2, 3, 4, 5, 6)) << "nothing of it would be there yet";
  train_to(*checkpointer, 2);
  checkpointer->finish();
  EXPECT_THAT(kept(), ElementsAre(1, 2));
  EXPECT_TRUE(files_.exists(folder_ / "checkpoint/abandoned-6/.metadata"));
}

TEST_P(CheckpointerTest, ACheckpointThatFailsAgainAtOnceIsSetAside) {
  const auto checkpointer = make();
  train_to(*checkpointer, 3);
  step_ = 4;
  checkpointer->roll_back(4);
  EXPECT_EQ(step_, 3);
  EXPECT_THAT(kept(), ElementsAre(1, 2, 3));
  checkpointer->roll_back(4);
  EXPECT_EQ(step_, 2);
  EXPECT_THAT(kept(), ElementsAre(1, 2)) << "the next run would begin with what fails";
  train_to(*checkpointer, 3);
  checkpointer->roll_back(5);
  EXPECT_EQ(step_, 3) << "it is another one now";
}

/// A file system on which one folder cannot be removed.
class StuckFolder : public test::FaultyFileSystem {
 public:
  void remove_directory(const std::string& path) override {
    if (path.ends_with(stuck)) throw RunError("'" + path + "' is in use");
    FaultyFileSystem::remove_directory(path);
  }
  std::string stuck = "/nothing";
};

TEST(UpkeepTest, OneFolderThatCannotBeRemovedDoesNotKeepTheOthers) {
  const test::TemporaryFolder folder;
  StuckFolder files;
  FlatState state;
  state.tensors.push_back({{"weight"}, at::full({10}, 3.0)});
  const RunCheckpoints run(files, folder.path());
  for (const std::int64_t step : {1, 2, 3, 4})
    DcpSaver(files, nullptr).save(run.of_step(step), state);
  files.stuck = "step-1";
  Upkeep upkeep(run, 2);
  testing::internal::CaptureStdout();
  upkeep.start(4);
  upkeep.start(4);
  upkeep.wait();
  const std::string said = testing::internal::GetCapturedStdout();
  EXPECT_THAT(files.list_directory(folder.path()), ElementsAre("step-1", "step-3", "step-4"));
  const std::size_t at = said.find("step-1' could not be removed: '");
  ASSERT_NE(at, std::string::npos) << said;
  EXPECT_EQ(said.find("could not be removed", at + 30), std::string::npos) << "once is enough";
  EXPECT_THAT(files.list_directory(run.of_step(1)), ElementsAre()) << "what could go is gone";
}

/// The power goes at any call while an old checkpoint is removed.
TEST(RunCheckpointsTest, ARemovalThatIsCutOffLeavesAWholeCheckpointOrNone) {
  for (int n = 1;; ++n) {
    SCOPED_TRACE(n);
    test::CrashingFileSystem disk;
    FlatState state;
    state.tensors.push_back({{"weight"}, at::full({10}, 3.0)});
    DcpSaver(disk, nullptr).save("/ck/step-1", state);
    test::FaultyFileSystem files(disk);
    files.fail_call(n, EIO, 1'000'000);
    bool finished = true;
    try {
      RunCheckpoints(files, "/ck").remove("/ck/step-1");
    } catch (const RunError&) {
      finished = false;
    }
    disk.crash(static_cast<unsigned>(n));
    for (const FoundCheckpoint& found : RunCheckpoints(disk, "/ck").complete()) {
      state.tensors[0].tensor.fill_(0);
      DcpCheckpoint(disk, found.path).read(state.tensors, nullptr);
      EXPECT_EQ(state.tensors[0].tensor[9].item<double>(), 3.0);
    }
    if (finished) break;
  }
}

}  // namespace
}  // namespace titan::components
