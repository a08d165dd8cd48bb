#include "profiling/step_traces.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <map>

#include "support/temporary_folder.h"
#include "titan/base/file_system.h"
#include "unit/profiling/trace_file.h"

namespace titan::profiling {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

using Steps = std::vector<std::string>;

class StepTracesTest : public testing::Test {
 protected:
  StepTracesTest() {
    config_.enable_profiling = true;
    config_.profile_freq = 5;
    config_.profiler_warmup = 1;
    config_.profiler_active = 2;
    config_.save_traces_folder = "traces";
  }

  /// Trains from `completed` + 1 to `last`; SIGUSR1 comes in the steps of `signals`. Returns the
  /// console's text.
  std::string train(std::int64_t completed, std::int64_t last,
                    const std::vector<std::int64_t>& signals = {}) {
    testing::internal::CaptureStdout();
    StepTraces traces(
        config_, {.files = base::posix_file_system(), .dump_folder = folder_.path(), .rank = 2});
    traces.start(completed);
    for (std::int64_t step = completed + 1; step <= last; ++step) {
      traces.begin_step();
      at::mm(at::ones({2, 2}), at::ones({2, 2}));
      if (std::ranges::count(signals, step) > 0) raise(SIGUSR1);
      traces.end_step();
    }
    traces.finish();
    return testing::internal::GetCapturedStdout();
  }

  /// The steps in each trace, by its folder.
  std::map<std::string, Steps> written() const {
    std::map<std::string, Steps> found;
    if (!std::filesystem::exists(folder_ / "traces")) return found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "traces")) {
      const TraceFile trace(entry.path() / "rank2_trace.json");
      found[entry.path().filename()] = trace.steps();
      EXPECT_EQ(trace.slices_named("aten::mm").size(), trace.steps().size());
    }
    return found;
  }

  test::TemporaryFolder folder_;
  config::Profiling config_;
};

TEST_F(StepTracesTest, EveryCycleLeavesATrace) {
  const std::string text = train(0, 11);
  EXPECT_THAT(written(),
              ElementsAre(Pair("iteration_10", Steps{"ProfilerStep#8", "ProfilerStep#9"}),
                          Pair("iteration_5", Steps{"ProfilerStep#3", "ProfilerStep#4"})));
  EXPECT_THAT(text, HasSubstr("Profiling active. Traces will be saved at " + folder_ / "traces"));
  EXPECT_THAT(text, HasSubstr("Dumping profiler traces at step 5\n"));
  EXPECT_THAT(text, testing::ContainsRegex(
                        "Finished dumping profiler traces in [0-9]+\\.[0-9][0-9] seconds\n"));
}

TEST_F(StepTracesTest, AResumedRunKeepsToTheCycle) {
  train(7, 12);
  EXPECT_THAT(written(),
              ElementsAre(Pair("iteration_10", Steps{"ProfilerStep#8", "ProfilerStep#9"})));
}

TEST_F(StepTracesTest, ARunResumedInsideTheWindowRecordsItsRest) {
  train(4, 6);
  EXPECT_THAT(written(), ElementsAre(Pair("iteration_5", Steps{"ProfilerStep#4"})));
}

TEST_F(StepTracesTest, WindowsWithoutAPauseFollowEachOther) {
  config_.profile_freq = 2;
  config_.profiler_warmup = 0;
  train(0, 4);
  EXPECT_THAT(written(),
              ElementsAre(Pair("iteration_2", Steps{"ProfilerStep#0", "ProfilerStep#1"}),
                          Pair("iteration_4", Steps{"ProfilerStep#2", "ProfilerStep#3"})))
      << "and the end adds no empty one";
}

TEST_F(StepTracesTest, TheEndKeepsTheStepsOfAnOpenWindow) {
  train(0, 4);
  EXPECT_THAT(written(), ElementsAre(Pair("iteration_4", Steps{"ProfilerStep#3"})))
      << "and no range of a step that did not come";
}

TEST_F(StepTracesTest, AWindowWithoutAWholeStepIsDropped) {
  StepTraces traces(config_,
                    {.files = base::posix_file_system(), .dump_folder = folder_.path(), .rank = 2});
  traces.start(3);
  traces.begin_step();
  traces.finish();  // the step was canceled
  EXPECT_THAT(written(), IsEmpty());
}

TEST_F(StepTracesTest, WithoutProfilingNothingIsMade) {
  config_.enable_profiling = false;
  EXPECT_EQ(train(0, 12), "");
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(StepTracesTest, Sigusr1HasTheNextStepTraced) {
  config_.enable_profiling = false;
  const std::string text = train(0, 8, {3});
  EXPECT_THAT(written(), ElementsAre(Pair("iteration_4", Steps{"ProfilerStep#3"})));
  EXPECT_THAT(text, HasSubstr("SIGUSR1: profiling step 4; the trace will be saved as " +
                              folder_ / "traces/iteration_4/rank2_trace.json\n"));
}

TEST_F(StepTracesTest, Sigusr1MayComeAgain) {
  config_.enable_profiling = false;
  train(0, 8, {3, 4, 6});
  EXPECT_THAT(written(), ElementsAre(Pair("iteration_4", Steps{"ProfilerStep#3"}),
                                     Pair("iteration_5", Steps{"ProfilerStep#4"}),
                                     Pair("iteration_7", Steps{"ProfilerStep#6"})));
}

TEST_F(StepTracesTest, Sigusr1DuringWarmUpLeavesTheScheduleAlone) {
  train(0, 5, {2});
  EXPECT_THAT(written(),
              ElementsAre(Pair("iteration_3", Steps{"ProfilerStep#2"}),
                          Pair("iteration_5", Steps{"ProfilerStep#3", "ProfilerStep#4"})));
}

TEST_F(StepTracesTest, Sigusr1DuringAScheduledTraceIsServedByIt) {
  const std::string text = train(0, 5, {3, 4});
  EXPECT_THAT(written(),
              ElementsAre(Pair("iteration_5", Steps{"ProfilerStep#3", "ProfilerStep#4"})));
  EXPECT_THAT(text, HasSubstr("SIGUSR1: profiling step 5; the trace will be saved as "));
}

TEST_F(StepTracesTest, Sigusr1InTheLastStepIsTooLate) {
  config_.enable_profiling = false;
  EXPECT_EQ(train(0, 3, {3}), "");
  EXPECT_THAT(written(), IsEmpty());
}

TEST_F(StepTracesTest, ATraceThatCannotBeWrittenIsReportedAndTrainingGoesOn) {
  std::filesystem::create_directories(folder_ / "traces/iteration_5");
  std::filesystem::create_symlink("/dev/full", folder_ / "traces/iteration_5/rank2_trace.json.tmp");
  const std::string text = train(0, 10);
  EXPECT_THAT(text, HasSubstr("ERROR - The trace is lost, training goes on: cannot write"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "traces/iteration_5/rank2_trace.json"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "traces/iteration_10/rank2_trace.json"));
}

}  // namespace
}  // namespace titan::profiling
