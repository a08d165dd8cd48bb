#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "support/crashing_file_system.h"
#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "unit/components/checkpoint/example_state.h"

namespace titan::components {
namespace {

using test::CrashingFileSystem;
using test::FaultyFileSystem;
using test::Layout;
using testing::AllOf;
using testing::HasSubstr;

constexpr int kForEver = 1'000'000;

/// What happens to a save, and what must hold afterwards.
class SaveFaults : public testing::TestWithParam<std::int64_t> {
 protected:
  std::int64_t ranks() const { return GetParam(); }

  /// Saves version 2 to `folder` while `break_disk` has its way with one rank's file system; returns the
  /// messages of the ranks that failed.
  std::vector<std::string> save(CrashingFileSystem& disk, const std::string& folder,
                                std::int64_t broken,
                                const std::function<void(FaultyFileSystem&)>& break_disk) {
    std::vector<std::string> messages(static_cast<std::size_t>(ranks()));
    calls_.assign(static_cast<std::size_t>(ranks()), 0);
    test::on_ranks(ranks(), [&](std::int64_t rank, comm::ProcessGroup* group) {
      const auto mine = static_cast<std::size_t>(rank);
      FaultyFileSystem files(disk);
      if (rank == broken) break_disk(files);
      try {
        DcpSaver(files, group)
            .save(folder, test::example_state(Layout::kRows, rank, ranks(), true, 2));
      } catch (const RunError& error) {
        messages[mine] = error.what();
      }
      calls_[mine] = files.calls();
    });
    std::erase(messages, "");
    return messages;
  }

  /// A folder is a whole checkpoint of one of the versions, or none.
  static bool is_whole_or_none(base::FileSystem& files, const std::string& folder,
                               std::vector<std::int64_t> versions) {
    if (!files.exists(folder + "/.metadata")) return false;
    const DcpCheckpoint checkpoint(files, folder);
    const formats::PickleValue step = checkpoint.object("train_state.step");
    const std::int64_t version = *step.get_if<std::int64_t>() - 100;
    EXPECT_THAT(versions, testing::Contains(version));
    test::expect_example(files, folder, Layout::kWhole, 1, version);
    return true;
  }

  std::vector<int> calls_;  // of the last save, by rank
};

INSTANTIATE_TEST_SUITE_P(Ranks, SaveFaults, testing::Values(1, 2));

/// The disk is as if the power had gone at the `n`-th call: nothing works any more, and what was not
/// durable is lost, in full or in part.
TEST_P(SaveFaults, StoppedAtAnyCallTheNewestWholeCheckpointLoads) {
  for (std::int64_t broken = 0; broken < ranks(); ++broken) {
    bool finished = false;
    for (int n = 1; !finished; ++n) {
      for (const unsigned seed : {0U, 1U, 2U, 3U}) {
        SCOPED_TRACE(testing::Message() << "rank " << broken << ", call " << n << ", " << seed);
        CrashingFileSystem disk;
        test::save_example(disk, "/ck/step-1", Layout::kRows, ranks(), 1);
        const auto failed = save(disk, "/ck/step-2", broken, [n](FaultyFileSystem& files) {
          files.fail_call(n, EIO, kForEver);
        });
        finished = failed.empty();
        if (!finished) {
          EXPECT_EQ(failed.size(), static_cast<std::size_t>(ranks()));
        }
        seed == 0 ? disk.crash() : disk.crash(seed);
        EXPECT_TRUE(is_whole_or_none(disk, "/ck/step-1", {1}));
        const bool whole = is_whole_or_none(disk, "/ck/step-2", {2});
        EXPECT_TRUE(whole || !finished);
        if (HasFailure()) return;
      }
    }
    EXPECT_GT(calls_[static_cast<std::size_t>(broken)], 4);
  }
}

/// One call fails, then the disk works again: the save says so on all ranks, and the next one works.
TEST_P(SaveFaults, AnyFailedCallIsAnErrorOnAllRanksAndNoCheckpoint) {
  for (std::int64_t broken = 0; broken < ranks(); ++broken) {
    for (int n = 1;; ++n) {
      SCOPED_TRACE(testing::Message() << "rank " << broken << ", call " << n);
      CrashingFileSystem disk;
      test::save_example(disk, "/ck/step-1", Layout::kRows, ranks(), 1);
      const auto failed = save(disk, "/ck/step-2", broken,
                               [n](FaultyFileSystem& files) { files.fail_call(n, ENOSPC); });
      if (failed.empty()) break;
      ASSERT_EQ(failed.size(), static_cast<std::size_t>(ranks()));
      for (const std::string& message : failed) {
        EXPECT_THAT(message, AllOf(HasSubstr("/ck"), HasSubstr("No space left on device")));
        if (ranks() > 1) {
          EXPECT_THAT(message, HasSubstr("rank " + std::to_string(broken) + ": "));
        }
      }
      EXPECT_FALSE(disk.exists("/ck/step-2")) << "an empty folder tells nobody anything";
      EXPECT_TRUE(is_whole_or_none(disk, "/ck/step-1", {1}));
      EXPECT_THAT(save(disk, "/ck/step-2", broken, [](FaultyFileSystem&) {}), testing::IsEmpty());
      disk.crash();
      EXPECT_TRUE(is_whole_or_none(disk, "/ck/step-2", {2}));
      if (HasFailure()) return;
    }
  }
}

/// A folder that held a checkpoint is never one of half old, half new files.
TEST_P(SaveFaults, WrittenOverAFolderIsOldOrNewOrNoCheckpoint) {
  for (std::int64_t broken = 0; broken < ranks(); ++broken) {
    bool finished = false;
    for (int n = 1; !finished; ++n) {
      for (const unsigned seed : {0U, 1U, 2U}) {
        SCOPED_TRACE(testing::Message() << "rank " << broken << ", call " << n << ", " << seed);
        CrashingFileSystem disk;
        test::save_example(disk, "/ck/step-2", Layout::kRows, 2 * ranks(), 1);
        finished = save(disk, "/ck/step-2", broken, [n](FaultyFileSystem& files) {
                     files.fail_call(n, EIO, kForEver);
                   }).empty();
        seed == 0 ? disk.crash() : disk.crash(seed);
        is_whole_or_none(disk, "/ck/step-2", {1, 2});
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(SaveFaults, TooLittleRoomIsSaidBeforeAnythingIsWritten) {
  test::TemporaryFolder folder;
  test::on_ranks(ranks(), [&](std::int64_t rank, comm::ProcessGroup* group) {
    FaultyFileSystem files;
    files.leave_space(10'000);
    const std::string message = test::message_of<RunError>([&] {
      DcpSaver(files, group)
          .save(folder / "step-1", test::example_state(Layout::kRows, rank, ranks(), true));
    });
    EXPECT_THAT(message, AllOf(HasSubstr("cannot save to '" + (folder / "step-1") + "': "),
                               HasSubstr("bytes are to be written, 10000 are free")));
  });
  EXPECT_FALSE(base::posix_file_system().exists(folder / "step-1"));
}

TEST_P(SaveFaults, AFullDiskKeepsNothingOfTheAttempt) {
  test::TemporaryFolder folder;
  test::on_ranks(ranks(), [&](std::int64_t rank, comm::ProcessGroup* group) {
    FaultyFileSystem files;
    files.hide_space();
    files.leave_space(10'000);
    const std::string message = test::message_of<RunError>([&] {
      DcpSaver(files, group)
          .save(folder / "step-1", test::example_state(Layout::kRows, rank, ranks(), true));
    });
    EXPECT_THAT(message, AllOf(HasSubstr("__0_0.distcp"), HasSubstr("No space left on device")));
  });
  EXPECT_FALSE(base::posix_file_system().exists(folder / "step-1"));
}

}  // namespace
}  // namespace titan::components
