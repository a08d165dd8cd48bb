#include "titan/components/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/config/run.h"

namespace titan::components {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Memory : protocols::MemoryMonitor {
  protocols::MemoryPeak peak() override { return figures; }
  void reset_peak() override { ++resets; }
  protocols::MemoryPeak figures = {.max_reserved_gib = 1.18, .max_reserved_pct = 1.5};
  int resets = 0;
};

/// Keeps reports outside itself, so that they outlive the processor; fails while told to.
struct Notebook {
  std::vector<StepReport> reports;
  std::vector<ValidationReport> validations;
  bool failing = false;
  bool close_fails = false;
  int closed = 0;
};

class NotebookSink : public MetricsSink {
 public:
  explicit NotebookSink(Notebook& notebook) : notebook_(notebook) {}
  const std::string& name() const override { return name_; }
  void log(const StepReport& report) override {
    if (notebook_.failing) throw RunError("the notebook is full");
    notebook_.reports.push_back(report);
  }
  void log_validation(const ValidationReport& report) override {
    if (notebook_.failing) throw RunError("the notebook is full");
    notebook_.validations.push_back(report);
  }
  void close() override {
    ++notebook_.closed;
    if (notebook_.close_fails) throw RunError("the notebook is lost");
  }

 private:
  Notebook& notebook_;
  std::string name_ = "notebook";
};

class MetricsTest : public testing::Test {
 protected:
  MetricsProcessor processor(std::int64_t log_freq = 10) {
    std::vector<std::unique_ptr<MetricsSink>> sinks;
    sinks.push_back(std::make_unique<NotebookSink>(first_));
    sinks.push_back(std::make_unique<NotebookSink>(second_));
    return {setup_,
            {.log_freq = log_freq, .colors = {}, .now = [this] { return now_; }},
            std::move(sinks)};
  }
  template <class Action>
  std::string printed_by(const Action& action) {
    testing::internal::CaptureStdout();
    action();
    return testing::internal::GetCapturedStdout();
  }

  Memory memory_;
  protocols::MetricsSetup setup_ = {.flops_per_token = 2'000'000'000,
                                    .peak_flops = 312e12,
                                    .non_data_parallel_size = 1,
                                    .memory = &memory_};
  double now_ = 1000;
  Notebook first_;
  Notebook second_;
};

TEST_F(MetricsTest, LogsTheFirstStepAndEveryNth) {
  const MetricsProcessor metrics = processor(4);
  std::vector<int> logged;
  for (int step = 1; step <= 12; ++step) {
    if (metrics.should_log(step)) logged.push_back(step);
  }
  EXPECT_THAT(logged, testing::ElementsAre(1, 4, 8, 12));
}

TEST_F(MetricsTest, ComputesTheReferencesFigures) {
  setup_.non_data_parallel_size = 2;
  MetricsProcessor metrics = processor(10);
  metrics.add_batch(16384, 0.25);
  metrics.add_batch(16384, 0.75);
  now_ += 4;
  const std::string printed = printed_by([&] {
    metrics.log({.step = 10,
                 .loss = 5.5,
                 .max_loss = 6,
                 .grad_norm = 2,
                 .lr = 1e-3,
                 .n_tokens_seen = 32768});
  });
  EXPECT_THAT(printed, HasSubstr("INFO - step: 10  loss:  5.50000  grad_norm:  2.0000  memory:  "
                                 "1.18GiB(1.50%)  tps: 4,096  tflops: 8.19  mfu: 2.63%\n"));
  ASSERT_EQ(first_.reports.size(), 1U);
  const StepReport& report = first_.reports[0];
  EXPECT_EQ(report.step.max_loss, 6);
  EXPECT_EQ(report.step.n_tokens_seen, 32768);
  EXPECT_EQ(report.tps, 4096);
  EXPECT_EQ(report.tflops, 8.192);
  EXPECT_EQ(report.mfu, 100 * 2e9 * 4096 / 312e12);
  EXPECT_EQ(report.data_loading_s, 0.5);
  EXPECT_EQ(report.data_loading_pct, 25);
  EXPECT_EQ(report.end_to_end_s, 0.4);
  EXPECT_EQ(report.memory.max_reserved_gib, 1.18);
}

TEST_F(MetricsTest, EveryLogStartsAnInterval) {
  MetricsProcessor metrics = processor(1);
  EXPECT_EQ(memory_.resets, 1);
  metrics.add_batch(1000, 5);
  now_ += 10;
  metrics.log({.step = 1});
  EXPECT_EQ(memory_.resets, 2);
  metrics.add_batch(100, 0.5);
  now_ += 1;
  metrics.log({.step = 2});
  ASSERT_EQ(first_.reports.size(), 2U);
  EXPECT_EQ(first_.reports[0].tps, 100);
  EXPECT_EQ(first_.reports[1].tps, 100);
  EXPECT_EQ(first_.reports[1].data_loading_s, 0.5);
  EXPECT_EQ(first_.reports[1].data_loading_pct, 50);
}

TEST_F(MetricsTest, AValidationIsReportedAndStartsAnIntervalButKeepsTheLoadingTimes) {
  setup_.non_data_parallel_size = 2;
  MetricsProcessor metrics = processor(10);
  metrics.add_batch(1000, 0.5);
  metrics.add_batch(3000, 1.5);
  now_ += 4;
  EXPECT_THAT(printed_by([&] { metrics.log_validation({.step = 20, .loss = 5.25}); }),
              HasSubstr("INFO - validate step: 20  loss:  5.2500  memory:  1.18GiB(1.50%)  "
                        "tps: 500\n"));
  ASSERT_EQ(second_.validations.size(), 1U);
  EXPECT_EQ(second_.validations[0].validation.loss, 5.25);
  EXPECT_EQ(second_.validations[0].tps, 500);
  EXPECT_EQ(memory_.resets, 2);

  metrics.add_batch(400, 1);
  now_ += 2;
  printed_by([&] { metrics.log({.step = 21}); });
  EXPECT_EQ(second_.reports.at(0).tps, 100);
  EXPECT_EQ(second_.reports.at(0).data_loading_s, 1) << "the mean of all three";
  EXPECT_EQ(second_.reports.at(0).data_loading_pct, 150);
}

TEST_F(MetricsTest, AFailingSinkDoesNotStopAValidation) {
  MetricsProcessor metrics = processor(1);
  first_.failing = true;
  now_ += 1;
  EXPECT_THAT(printed_by([&] { metrics.log_validation({.step = 3}); }),
              AllOf(HasSubstr("ERROR - Metrics are not recorded at step 3: the notebook is full"),
                    HasSubstr("INFO - validate step:  3")));
  EXPECT_EQ(second_.validations.size(), 1U);
}

TEST_F(MetricsTest, WithoutAPeakThereIsNoMfu) {
  setup_.peak_flops = std::nullopt;
  MetricsProcessor metrics = processor();
  metrics.add_batch(100, 0.1);
  now_ += 1;
  EXPECT_THAT(printed_by([&] { metrics.log({.step = 1}); }), HasSubstr("mfu: n/a\n"));
  EXPECT_EQ(first_.reports.at(0).mfu, std::nullopt);
}

TEST_F(MetricsTest, MemoryTroubleIsWarnedOf) {
  memory_.figures.num_alloc_retries = 3;
  memory_.figures.num_ooms = 1;
  MetricsProcessor metrics = processor();
  now_ += 1;
  EXPECT_THAT(printed_by([&] { metrics.log({.step = 1}); }),
              AllOf(HasSubstr("WARNING - 3 CUDA memory allocation retries."),
                    HasSubstr("WARNING - 1 CUDA OOM errors thrown.")));
}

TEST_F(MetricsTest, AFailingSinkStopsNeitherTheOthersNorTheRun) {
  MetricsProcessor metrics = processor(1);
  const auto log = [&](std::int64_t step) {
    now_ += 1;
    return printed_by([&] { metrics.log({.step = step}); });
  };
  first_.failing = true;
  EXPECT_THAT(log(1), AllOf(HasSubstr("ERROR - Metrics are not recorded at step 1: the notebook "
                                      "is full. Training continues"),
                            HasSubstr("INFO - step:  1")));
  EXPECT_THAT(log(2), Not(HasSubstr("ERROR"))) << "one outage is one error";
  first_.failing = false;
  EXPECT_THAT(log(3), HasSubstr("INFO - notebook: recording again"));
  EXPECT_THAT(log(4), Not(HasSubstr("again")));
  EXPECT_EQ(first_.reports.size(), 2U);
  EXPECT_EQ(second_.reports.size(), 4U);
}

TEST_F(MetricsTest, ClosesEverySinkOnceAndReportsLosses) {
  MetricsProcessor metrics = processor();
  first_.close_fails = true;
  EXPECT_THAT(printed_by([&] { metrics.close(); }),
              HasSubstr("ERROR - Metrics are incomplete: the notebook is lost"));
  metrics.close();
  EXPECT_EQ(first_.closed, 1);
  EXPECT_EQ(second_.closed, 1);
}

TEST_F(MetricsTest, AnUnsetOperationCountIsOurBug) {
  setup_.flops_per_token = 0;
  EXPECT_THROW(processor(), InternalError);
}

TEST_F(MetricsTest, BuildsFromTheConfigWithAJsonlFile) {
  const test::TemporaryFolder folder;
  config::Metrics config;
  config.log_freq = 1;
  const std::string printed = printed_by([&] {
    const auto metrics = build_metrics_processor(setup_, config, {folder / "out"});
    metrics->add_batch(10, 0);
    metrics->log({.step = 1, .loss = 2.5});
    metrics->close();
  });
  EXPECT_THAT(printed,
              AllOf(HasSubstr("INFO - Peak FLOPS used for computing MFU: 3.120e+14\n"),
                    HasSubstr("INFO - mfu = 100 * tps * 2,000,000,000 FLOPs per token / peak "),
                    HasSubstr("INFO - step:  1  loss:  2.50000")));
  EXPECT_THAT(base::read_whole_file(base::posix_file_system(), folder / "out/metrics.jsonl", 4096),
              testing::StartsWith(R"({"step": 1, "loss": 2.5, )"));
}

TEST_F(MetricsTest, TensorBoardFilesLieInAFolderOfTheStart) {
  const test::TemporaryFolder folder;
  config::Metrics config;
  config.enable_tensorboard = true;
  config.save_for_all_ranks = true;
  config.save_tb_folder = "boards";
  const MetricsOutput output = {.dump_folder = folder / "out", .rank = 3};
  const std::string printed = printed_by([&] {
    const auto metrics = build_metrics_processor(setup_, config, output);
    metrics->add_batch(10, 0);
    metrics->log({.step = 1, .loss = 2.5});
    metrics->close();
  });
  base::FileSystem& files = base::posix_file_system();
  EXPECT_FALSE(files.exists(folder / "out/metrics.jsonl")) << "that is the reporting rank's";
  const std::string boards = folder / "out/boards";
  ASSERT_EQ(files.list_directory(boards).size(), 1U);
  const std::string minute = files.list_directory(boards)[0];
  EXPECT_THAT(minute, testing::MatchesRegex("20[0-9]{6}-[0-9]{4}"));
  EXPECT_THAT(printed, HasSubstr("INFO - TensorBoard logging enabled. Logs will be saved at " +
                                 boards + "/" + minute + "/rank_3\n"));
  EXPECT_THAT(files.list_directory(boards + "/" + minute + "/rank_3"),
              testing::ElementsAre(
                  testing::MatchesRegex("events\\.out\\.tfevents\\.[0-9]+\\..+\\.[0-9]+\\.0")));
}

TEST_F(MetricsTest, RanksThatDoNotReportWriteNothing) {
  const test::TemporaryFolder folder;
  config::Metrics config;
  config.enable_tensorboard = true;
  const MetricsOutput output = {.dump_folder = folder / "out", .rank = 1};
  printed_by([&] { build_metrics_processor(setup_, config, output)->close(); });
  EXPECT_FALSE(base::posix_file_system().exists(folder / "out"));
}

TEST_F(MetricsTest, AnUnknownPeakIsSaidOnce) {
  const test::TemporaryFolder folder;
  setup_.peak_flops = std::nullopt;
  EXPECT_THAT(printed_by([&] { build_metrics_processor(setup_, {}, {folder / "out"}); }),
              HasSubstr("INFO - Peak FLOPS of this device are unknown: mfu is n/a\n"));
}

TEST_F(MetricsTest, AnUnwritableDumpFolderIsAnErrorAtTheStart) {
  const test::TemporaryFolder folder;
  base::posix_file_system().open_for_writing(folder / "file", true);
  EXPECT_THAT(
      test::message_of<RunError>([&] { build_metrics_processor(setup_, {}, {folder / "file"}); }),
      HasSubstr("cannot create the folder '" + folder.path() + "/file'"));
}

}  // namespace
}  // namespace titan::components
