#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/profiling/profiler.h"
#include "titan/tools/accelerator.h"

namespace titan::profiling {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

/// A GPU whose allocator says when it was asked.
class CountingAccelerator : public tools::Accelerator {
 public:
  int device_count() const override { return 1; }
  tools::DeviceFacts facts(int) const override { return {"cuda", "test", 1}; }
  tools::DeviceMemory peak_memory(int) const override { return {}; }
  void reset_peak_memory(int) override {}
  void record_memory_history(std::size_t most_entries) override { history_ = most_entries; }
  std::string memory_snapshot() override {
    if (broken_) throw RunError("the device is gone");
    return concat("snapshot ", ++snapshots_, " of ", history_);
  }
  std::unique_ptr<tools::GraphCapture> make_graph_capture(int) override { return nullptr; }
  std::vector<std::pair<std::string, std::string>> versions() const override { return {}; }

  std::size_t history_ = 0;
  int snapshots_ = 0;
  bool broken_ = false;
};

class MemorySnapshotsTest : public testing::Test {
 protected:
  MemorySnapshotsTest() {
    config_.enable_memory_snapshot = true;
    config_.profile_freq = 3;
  }
  Profiler profiler() {
    return {config_,
            {.files = base::posix_file_system(),
             .dump_folder = folder_.path(),
             .rank = 1,
             .accelerator = &gpu_}};
  }
  std::string content(const std::string& iteration) {
    return base::read_whole_file(
        base::posix_file_system(),
        folder_ / "memory_snapshot/" + iteration + "/rank1_memory_snapshot.pickle", 1000);
  }
  std::set<std::string> written() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "memory_snapshot")) {
      names.insert(entry.path().filename());
    }
    return names;
  }

  test::TemporaryFolder folder_;
  config::Profiling config_;
  CountingAccelerator gpu_;
};

TEST_F(MemorySnapshotsTest, AreRefusedOnTheCpu) {
  const std::string message = message_of<ConfigError>([&] {
    Profiler(config_, {.files = base::posix_file_system(), .dump_folder = folder_.path()});
  });
  EXPECT_THAT(message, HasSubstr("profiling.enable_memory_snapshot = true"));
  EXPECT_THAT(message, HasSubstr("CUDA caching allocator"));
}

TEST_F(MemorySnapshotsTest, ComeAtMultiplesOfTheFrequency) {
  auto observed = profiler();
  EXPECT_EQ(gpu_.history_, 0U) << "the model's initialisation is not recorded";
  observed.start(2);
  for (int step = 3; step <= 7; ++step) observed.end_step();
  observed.finish();
  EXPECT_THAT(written(), ElementsAre("iteration_3", "iteration_6"));
  EXPECT_EQ(content("iteration_3"), "snapshot 1 of 100000");
  EXPECT_EQ(content("iteration_6"), "snapshot 2 of 100000");
}

TEST_F(MemorySnapshotsTest, OutOfMemoryLeavesALastOne) {
  auto observed = profiler();
  observed.start(0);
  observed.end_step();
  observed.out_of_memory();
  EXPECT_THAT(written(), ElementsAre("iteration_1_exit"));
}

TEST_F(MemorySnapshotsTest, OnesThatFailAreReportedAndTrainingGoesOn) {
  auto observed = profiler();
  observed.start(0);
  gpu_.broken_ = true;
  testing::internal::CaptureStdout();
  for (int step = 1; step <= 3; ++step) observed.end_step();
  observed.out_of_memory();
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              HasSubstr("ERROR - The memory snapshot is lost: the device is gone"));
}

TEST_F(MemorySnapshotsTest, OutOfMemoryWithoutSnapshotsWritesNothing) {
  config_.enable_memory_snapshot = false;
  auto observed = profiler();
  observed.start(0);
  observed.out_of_memory();
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

}  // namespace
}  // namespace titan::profiling
