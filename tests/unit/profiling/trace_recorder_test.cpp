#include "profiling/trace_recorder.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/resource.h>
#include <cstdlib>

#include <filesystem>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/profiling/range.h"
#include "unit/profiling/trace_file.h"

namespace titan::profiling {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::SizeIs;

/// A forward and a backward with one matrix product in the first and two in the second.
void train_a_little() {
  at::Tensor left = at::ones({3, 4}).requires_grad_();
  at::Tensor right = at::ones({4, 5}).requires_grad_();
  at::Tensor loss;
  {
    const Range range("forward");
    loss = at::mm(left, right).sum();
  }
  const Range range("backward");
  loss.backward();
}

class TraceRecorderTest : public testing::Test {
 protected:
  TraceFile record() {
    recorder_.start();
    train_a_little();
    recorder_.stop_and_save(path_);
    return TraceFile(path_);
  }

  test::TemporaryFolder folder_;
  std::string path_ = folder_ / "made/on/demand/trace.json";
  TraceRecorder recorder_{base::posix_file_system(), at::kCPU, 3, 8};
};

TEST_F(TraceRecorderTest, WritesWhatChromeTraceViewersRead) {
  const TraceFile trace = record();
  ASSERT_THAT(trace.slices(), testing::Not(testing::IsEmpty()));
  const double first = trace.slices_named("forward").at(0).at("ts");
  for (const auto& event : trace.json().at("traceEvents")) {
    EXPECT_TRUE(event.at("ph").is_string() && event.at("name").is_string()) << event;
    if (event.at("ph") != "X") continue;
    EXPECT_TRUE(event.contains("pid") && event.contains("tid")) << event;
    EXPECT_GE(event.at("dur").get<double>(), 0) << event;
    EXPECT_LT(std::abs(event.at("ts").get<double>() - first), 60e6) << event;
  }
}

TEST_F(TraceRecorderTest, OperatorsLieInTheRangesThatCalledThem) {
  const TraceFile trace = record();
  const auto forward = trace.slices_named("forward");
  const auto backward = trace.slices_named("backward");
  ASSERT_THAT(forward, SizeIs(1));
  ASSERT_THAT(backward, SizeIs(1));
  EXPECT_EQ(forward[0].at("cat"), "user_annotation");
  const auto products = trace.slices_named("aten::mm");
  ASSERT_THAT(products, SizeIs(3));
  EXPECT_EQ(products[0].at("cat"), "cpu_op");
  EXPECT_TRUE(within(products[0], forward[0]));
  EXPECT_TRUE(within(products[1], backward[0])) << "backward runs on the thread that calls it";
  EXPECT_TRUE(within(products[2], backward[0]));
  EXPECT_THAT(trace.slices_named("MmBackward0"), SizeIs(1));
}

TEST_F(TraceRecorderTest, KnowsShapesAndTheRank) {
  const TraceFile trace = record();
  const auto shapes = trace.slices_named("aten::mm").at(0).at("args").at("Input Dims");
  EXPECT_EQ(shapes, nlohmann::json::parse("[[3, 4], [4, 5]]"));
  EXPECT_EQ(trace.json().at("record_shapes"), 1);
  EXPECT_EQ(trace.json().at("distributedInfo").at("rank"), 3);
  EXPECT_EQ(trace.json().at("distributedInfo").at("world_size"), 8);
}

TEST_F(TraceRecorderTest, KeepsNothingFromBeforeItsStart) {
  recorder_.warm_up();
  train_a_little();
  record();
  const TraceFile trace = record();
  EXPECT_THAT(trace.slices_named("aten::mm"), SizeIs(3));
}

TEST_F(TraceRecorderTest, SaysNothingOnTheConsole) {
  ::setenv("KINETO_LOG_LEVEL", "5", /*overwrite=*/0);  // as the engine does when it is loaded
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  record();
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

/// While it lives, no file grows beyond `bytes`, as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_ = {};
  sighandler_t handler_;
};

TEST_F(TraceRecorderTest, ATraceIsWholeOrNotThere) {
  record();
  const auto whole = std::filesystem::file_size(path_);
  for (const rlim_t room : {rlim_t{0}, rlim_t{10}, rlim_t{whole / 2}, rlim_t{whole * 9 / 10}}) {
    recorder_.start();
    train_a_little();
    const FullDisk disk(room);
    EXPECT_THAT(test::message_of<RunError>([&] { recorder_.stop_and_save(path_); }),
                HasSubstr(path_));
    EXPECT_TRUE(std::filesystem::is_empty(std::filesystem::path(path_).parent_path())) << room;
  }
  record();
}

TEST_F(TraceRecorderTest, DropsFromEveryState) {
  recorder_.drop();
  recorder_.warm_up();
  recorder_.drop();
  recorder_.start();
  train_a_little();
  recorder_.drop();
  EXPECT_FALSE(recorder_.recording());
  EXPECT_THAT(record().slices_named("aten::mm"), SizeIs(3));
}

TEST_F(TraceRecorderTest, RangesOutsideATraceAreNothing) {
  const Range range("nobody records");
  train_a_little();
}

}  // namespace
}  // namespace titan::profiling
