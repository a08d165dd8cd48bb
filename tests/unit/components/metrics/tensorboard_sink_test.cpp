#include "components/metrics/tensorboard_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "components/metrics/event_record.h"
#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

using testing::HasSubstr;

StepReport report(std::int64_t step) {
  StepReport report;
  report.step.step = step;
  report.step.loss = 2.5;
  return report;
}

/// The bytes of a file with steps `first` to `last`, all at the time 1000.
std::string events(std::int64_t first, std::int64_t last) {
  std::string bytes = tfrecord(version_event(1000));
  for (std::int64_t step = first; step <= last; ++step) {
    bytes += tfrecord(scalar_event(1000, step, scalars(report(step))));
  }
  return bytes;
}

class TensorBoardSinkTest : public testing::Test {
 protected:
  std::unique_ptr<TensorBoardSink> sink() {
    return std::make_unique<TensorBoardSink>(files_, folder_ / "tb", [] { return 1000.0; });
  }
  static std::string recorded(const TensorBoardSink& sink) {
    return base::read_whole_file(base::posix_file_system(), sink.name(), 64 << 20);
  }
  static bool try_log(TensorBoardSink& sink, std::int64_t step) {
    try {
      sink.log(report(step));
      return true;
    } catch (const RunError&) {
      return false;
    }
  }

  test::TemporaryFolder folder_;
  test::FaultyFileSystem files_;
};

TEST_F(TensorBoardSinkTest, WritesEveryReportAtOnce) {
  const auto tensorboard = sink();
  EXPECT_THAT(tensorboard->name(), HasSubstr("/tb/events.out.tfevents.1000."));
  tensorboard->log(report(1));
  EXPECT_EQ(recorded(*tensorboard), events(1, 1));
  tensorboard->log(report(2));
  EXPECT_EQ(recorded(*tensorboard), events(1, 2));
  tensorboard->close();
}

TEST_F(TensorBoardSinkTest, ADiskThatIsFullForAWhileLosesNothing) {
  for (std::size_t space = 0; space <= events(1, 2).size(); space += 7) {
    files_.repair();
    const auto tensorboard = sink();
    files_.leave_space(space);
    EXPECT_EQ(try_log(*tensorboard, 1), space >= events(1, 1).size());
    EXPECT_EQ(try_log(*tensorboard, 2), space >= events(1, 2).size());
    files_.repair();
    EXPECT_TRUE(try_log(*tensorboard, 3));
    EXPECT_EQ(recorded(*tensorboard), events(1, 3)) << "space for " << space << " bytes";
  }
}

TEST_F(TensorBoardSinkTest, ClosingOnAFullDiskCountsTheLostRecords) {
  const auto tensorboard = sink();
  tensorboard->log(report(1));
  files_.leave_space(10);
  EXPECT_FALSE(try_log(*tensorboard, 2));
  EXPECT_THAT(test::message_of<RunError>([&] { tensorboard->close(); }),
              HasSubstr("No space left on device. Lost records: 1"));
}

TEST_F(TensorBoardSinkTest, AnUnwritableFolderIsAnErrorAtTheStart) {
  for (int call = 1; call <= 2; ++call) {
    files_.fail_call(call, EROFS);
    EXPECT_THAT(test::message_of<RunError>([&] { sink(); }), HasSubstr("Read-only file system"));
  }
}

}  // namespace
}  // namespace titan::components
