#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include <cerrno>
#include <utility>

#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::base {
namespace {

using test::FaultyFileSystem;
using test::message_of;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t kMegabyte = 1 << 20;

class WholeFile : public testing::Test {
 protected:
  std::string read(const std::string& path) {
    return read_whole_file(posix_file_system(), path, kMegabyte);
  }

  test::TemporaryFolder folder_;
  std::string path_ = folder_ / "file";
};

TEST_F(WholeFile, ReadsBackWhatWasWritten) {
  for (const std::size_t size : {0, 1, 4095, 4096, 4097, 100000}) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
      bytes[i] = static_cast<char>(i * 7);
    }
    write_file_atomically(posix_file_system(), path_, bytes);
    EXPECT_EQ(read(path_), bytes) << size;
  }
}

TEST_F(WholeFile, ReadsFilesWhoseSizeIsNotKnown) {
  EXPECT_THAT(read("/proc/self/status"), HasSubstr("VmRSS"));
}

TEST_F(WholeFile, TheCapIsExact) {
  for (const std::size_t size : {10, 5000}) {
    write_file_atomically(posix_file_system(), path_, std::string(size, 'x'));
    EXPECT_EQ(read_whole_file(posix_file_system(), path_, size).size(), size);
    EXPECT_EQ(message_of<RunError>([&] { read_whole_file(posix_file_system(), path_, size - 1); }),
              concat("'", path_, "' is too large: more than ", size - 1, " bytes"));
  }
}

/// A file that says it has `size` bytes and has `content`, as after growing or shrinking.
class ChangedFile : public FaultyFileSystem {
 public:
  ChangedFile(std::uint64_t size, std::string content)
      : size_(size), content_(std::move(content)) {}
  std::unique_ptr<ReadableFile> open_for_reading(const std::string& path) override {
    return std::make_unique<File>(*this, path);
  }

 private:
  struct File : ReadableFile {
    File(const ChangedFile& owner_in, std::string name_in)
        : owner(owner_in), name(std::move(name_in)) {}
    std::size_t read_at(std::uint64_t offset, std::span<char> out) const override {
      return offset < owner.content_.size() ? owner.content_.copy(out.data(), out.size(), offset)
                                            : 0;
    }
    std::uint64_t size() const override { return owner.size_; }
    const std::string& path() const override { return name; }
    const ChangedFile& owner;
    std::string name;
  };
  std::uint64_t size_;
  std::string content_;
};

TEST_F(WholeFile, FollowsAFileThatGrewOrShrankSinceOpening) {
  const std::string content(50000, 'x');
  for (const std::uint64_t size_at_opening : {std::uint64_t{0}, std::uint64_t{10}, kMegabyte}) {
    ChangedFile files(size_at_opening, content);
    EXPECT_EQ(read_whole_file(files, "changed", kMegabyte), content);
  }
}

TEST_F(WholeFile, ReplacesAndLeavesNothingElse) {
  write_file_atomically(posix_file_system(), path_, "old");
  write_file_atomically(posix_file_system(), path_, "new");
  EXPECT_EQ(read(path_), "new");
  EXPECT_THAT(posix_file_system().list_directory(folder_.path()), ElementsAre("file"));
}

TEST_F(WholeFile, EveryFailureLeavesTheOldBytesOrTheNew) {
  int failing = 0;
  for (bool failed = true; failed;) {
    write_file_atomically(posix_file_system(), path_, "old");
    FaultyFileSystem files;
    files.fail_call(++failing, EIO);
    try {
      write_file_atomically(files, path_, "new");
      failed = false;
    } catch (const RunError& error) {
      EXPECT_THAT(error.what(), HasSubstr("Input/output error"));
      EXPECT_THAT(read(path_), AnyOf("old", "new")) << "call " << failing;
    }
    EXPECT_THAT(posix_file_system().list_directory(folder_.path()), ElementsAre("file"))
        << "call " << failing;
  }
  EXPECT_EQ(read(path_), "new");
  EXPECT_EQ(failing, 7) << "open, write, sync, close, rename and sync of the folder were failed";
}

TEST_F(WholeFile, ADiskThatFillsUpKeepsTheOldFile) {
  write_file_atomically(posix_file_system(), path_, "old");
  FaultyFileSystem files;
  files.leave_space(2);
  EXPECT_THAT(message_of<RunError>([&] { write_file_atomically(files, path_, "new"); }),
              HasSubstr("No space left on device"));
  EXPECT_EQ(read(path_), "old");
  EXPECT_THAT(posix_file_system().list_directory(folder_.path()), ElementsAre("file"));
}

TEST_F(WholeFile, WritesIntoTheWorkingFolder) {
  const std::string name = "whole_file_test.tmp";
  write_file_atomically(posix_file_system(), name, "x");
  EXPECT_EQ(read(name), "x");
  posix_file_system().remove_file(name);
}

TEST(WriteFileAtomically, ASymbolicLinkStaysOne) {
  test::TemporaryFolder folder;
  FileSystem& files = posix_file_system();
  write_file_atomically(files, folder / "real", "old");
  std::filesystem::create_symlink(folder / "real", folder / "link");
  write_file_atomically(files, folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_whole_file(files, folder / "real", 100), "new");
}

TEST(WriteFileAtomically, ADeviceIsWrittenToNotReplaced) {
  FileSystem& files = posix_file_system();
  ASSERT_TRUE(files.is_special("/dev/null"));
  write_file_atomically(files, "/dev/null", "nothing");
  EXPECT_TRUE(files.is_special("/dev/null"));
}

}  // namespace
}  // namespace titan::base
