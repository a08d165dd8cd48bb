#include "titan/base/file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::base {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

class PosixFileSystem : public testing::Test {
 protected:
  void write(const std::string& path, std::string_view bytes) {
    const auto file = files_.open_for_writing(path, true);
    file->append(bytes);
    file->close();
  }
  std::string read(const std::string& path) { return read_whole_file(files_, path, 1 << 20); }

  FileSystem& files_ = posix_file_system();
  test::TemporaryFolder folder_;
};

TEST_F(PosixFileSystem, ReadsAtAnyPositionAndStopsAtTheEnd) {
  const std::string path = folder_ / "ten";
  write(path, "0123456789");
  const auto file = files_.open_for_reading(path);
  EXPECT_EQ(file->size(), 10U);
  EXPECT_EQ(file->path(), path);
  std::string out(4, '?');
  EXPECT_EQ(file->read_at(3, out), 4U);
  EXPECT_EQ(out, "3456");
  EXPECT_EQ(file->read_at(8, out), 2U);
  EXPECT_EQ(out.substr(0, 2), "89");
  EXPECT_EQ(file->read_at(10, out), 0U);
  EXPECT_EQ(file->read_at(1 << 30, out), 0U);
}

TEST_F(PosixFileSystem, SizeIsThatOfOpeningButReadingSeesNewBytes) {
  const std::string path = folder_ / "log";
  write(path, "ab");
  const auto reader = files_.open_for_reading(path);
  files_.open_for_writing(path, false)->append("cd");
  std::string out(4, '?');
  EXPECT_EQ(reader->size(), 2U);
  EXPECT_EQ(reader->read_at(0, out), 4U);
  EXPECT_EQ(out, "abcd");
}

TEST_F(PosixFileSystem, WritesAtTheEndOrOverAnEmptiedFile) {
  const std::string path = folder_ / "file";
  write(path, "old");
  files_.open_for_writing(path, false)->append("+new");
  EXPECT_EQ(read(path), "old+new");
  files_.open_for_writing(path, true);
  EXPECT_EQ(read(path), "");
}

TEST_F(PosixFileSystem, AClosedFileTakesNoMoreBytes) {
  const auto file = files_.open_for_writing(folder_ / "file", true);
  file->append("x");
  file->sync();
  file->close();
  file->close();
  EXPECT_THROW(file->append("y"), InternalError);
  EXPECT_THROW(file->sync(), InternalError);
}

TEST_F(PosixFileSystem, ErrorsNameTheActionThePathAndTheReason) {
  const std::string missing = folder_ / "missing";
  EXPECT_EQ(message_of<RunError>([&] { files_.open_for_reading(missing); }),
            "cannot open '" + missing + "': No such file or directory");
  EXPECT_EQ(message_of<RunError>([&] { files_.open_for_writing(missing + "/x", true); }),
            "cannot open for writing '" + missing + "/x': No such file or directory");
  EXPECT_EQ(message_of<RunError>([&] { files_.list_directory(missing); }),
            "cannot list '" + missing + "': No such file or directory");
  EXPECT_EQ(message_of<RunError>([&] { files_.remove_file(missing); }),
            "cannot remove '" + missing + "': No such file or directory");
  EXPECT_EQ(message_of<RunError>([&] { files_.rename(missing, "b"); }),
            "cannot rename '" + missing + "' to 'b': No such file or directory");
  EXPECT_EQ(message_of<RunError>([&] { files_.sync_directory(missing); }),
            "cannot open the folder '" + missing + "': No such file or directory");
}

TEST_F(PosixFileSystem, AFolderIsNoFile) {
  const std::string path = folder_.path();
  EXPECT_EQ(message_of<RunError>([&] { files_.open_for_reading(path); }),
            "cannot read '" + path + "': Is a directory");
  EXPECT_EQ(message_of<RunError>([&] { files_.open_for_writing(path, false); }),
            "cannot open for writing '" + path + "': Is a directory");
}

TEST_F(PosixFileSystem, APipeIsRefusedInsteadOfWaitedFor) {
  const std::string path = folder_ / "pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(message_of<RunError>([&] { files_.open_for_reading(path); }), HasSubstr("a pipe"));
}

TEST_F(PosixFileSystem, AFullDiskIsSaid) {
  const auto file = files_.open_for_writing("/dev/full", false);
  EXPECT_EQ(message_of<RunError>([&] { file->append("x"); }),
            "cannot write '/dev/full': No space left on device");
}

TEST_F(PosixFileSystem, TellsFoldersFromFilesFromNothing) {
  write(folder_ / "file", "");
  EXPECT_TRUE(files_.exists(folder_ / "file"));
  EXPECT_FALSE(files_.is_directory(folder_ / "file"));
  EXPECT_TRUE(files_.is_directory(folder_.path()));
  EXPECT_FALSE(files_.exists(folder_ / "missing"));
  EXPECT_FALSE(files_.exists(folder_ / "file/below")) << "below a file there is nothing";
  EXPECT_FALSE(files_.is_directory(folder_ / "missing"));
}

TEST_F(PosixFileSystem, ListsNamesSortedByBytes) {
  for (const char* name : {"b", "a", "B", ".hidden", "\xc3\xa4"}) {
    write(folder_ / name, "");
  }
  EXPECT_THAT(files_.list_directory(folder_.path()),
              ElementsAre(".hidden", "B", "a", "b", "\xc3\xa4"));
}

TEST_F(PosixFileSystem, CreatesFoldersWithTheirParents) {
  files_.create_directories(folder_ / "a/b//c/");
  EXPECT_TRUE(files_.is_directory(folder_ / "a/b/c"));
  files_.create_directories(folder_ / "a/b/c");
  files_.create_directories("/");
}

TEST_F(PosixFileSystem, AFileInTheWayOfAFolder) {
  write(folder_ / "file", "");
  for (const std::string& path : {folder_ / "file", folder_ / "file/below"}) {
    EXPECT_EQ(message_of<RunError>([&] { files_.create_directories(path); }),
              concat("cannot create the folder '", path, "': Not a directory"));
  }
}

TEST_F(PosixFileSystem, RemovesEmptyFoldersOnly) {
  files_.create_directories(folder_ / "a/b");
  EXPECT_EQ(message_of<RunError>([&] { files_.remove_directory(folder_ / "a"); }),
            "cannot remove the folder '" + (folder_ / "a") + "': Directory not empty");
  files_.remove_directory(folder_ / "a/b");
  files_.remove_directory(folder_ / "a");
  EXPECT_FALSE(files_.exists(folder_ / "a"));
}

TEST_F(PosixFileSystem, KnowsHowMuchRoomThereIs) {
  EXPECT_GT(files_.free_bytes(folder_.path()), 0U);
  EXPECT_THAT(message_of<RunError>([&] { files_.free_bytes(folder_ / "missing"); }),
              testing::HasSubstr("No such file"));
}

TEST_F(PosixFileSystem, WriteBackChangesNothing) {
  const auto file = files_.open_for_writing(folder_ / "file", /*truncate=*/true);
  file->append("some");
  file->start_write_back();
  file->append("thing");
  file->close();
  EXPECT_EQ(read_whole_file(files_, folder_ / "file", 100), "something");
}

TEST_F(PosixFileSystem, RenamesOverAndRemoves) {
  write(folder_ / "from", "new");
  write(folder_ / "to", "old");
  files_.rename(folder_ / "from", folder_ / "to");
  files_.sync_directory(folder_.path());
  EXPECT_EQ(read(folder_ / "to"), "new");
  files_.remove_file(folder_ / "to");
  EXPECT_THAT(files_.list_directory(folder_.path()), ElementsAre());
}

}  // namespace
}  // namespace titan::base
