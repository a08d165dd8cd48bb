// What is no data is found when it is opened, and said to be what it is.

#include "text/sources/check_files.h"

#include <gtest/gtest.h>

#include <set>

#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/file_system.h"
#include "unit/text/data/data_test_support.h"
#include "unit/text/sources/compress.h"
#include "unit/text/sources/token_bytes.h"

namespace titan::text {
namespace {

using namespace std::string_literals;
using test::gzip;
using test::jsonl;
using test::message_of;
using test::write_file;
using test::zstd;

const std::string kPointer =
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";

class CheckFilesTest : public ::testing::Test {
 protected:
  CheckFilesTest() {
    options_.path = folder_.path();
    options_.check_first_rows = true;
  }
  void write(const std::string& name, const std::string& bytes) {
    write_file(folder_ / name, bytes);
  }
  // What is said about the folder, without the path of the file where it begins so.
  std::string error(const std::string& name) {
    const std::string message = message_of<RunError>([&] { open(); });
    const std::string start = "'" + (folder_ / name) + "' is ";
    return message.find(start) == 0 ? message.substr(start.size()) : message;
  }
  std::unique_ptr<DocumentSource> open() {
    return open_source(base::posix_file_system(), options_);
  }

  test::TemporaryFolder folder_;
  SourceOptions options_;
};

TEST_F(CheckFilesTest, PointersOfGitLfsUnderEveryName) {
  for (const std::string name : {"a.jsonl", "a.json", "a.txt", "a.jsonl.gz", "a.jsonl.zst",
                                 "a.txt.gz", "a.parquet", "a.bin", "a.u16", "a.u32"}) {
    const test::TemporaryFolder folder;
    options_.path = folder.path();
    write_file(folder / name, kPointer + std::string(name.ends_with("32") ? 1 : 0, '\n'));
    const std::string message = message_of<RunError>([&] { open(); });
    EXPECT_EQ(message.find("'" + (folder / name) + "' is a pointer of Git LFS"), 0u) << message;
  }
}

TEST_F(CheckFilesTest, APointerOfGitLfsBesideGoodFiles) {
  write("a.jsonl", jsonl({"a"}));
  write("b.jsonl", kPointer);
  EXPECT_EQ(error("b.jsonl").find("a pointer of Git LFS"), 0u);
}

TEST_F(CheckFilesTest, MegatronPairs) {
  write("a.bin", kPointer);
  write("a.idx", test::megatron_index({1}, 8, 2));
  EXPECT_EQ(error("a.bin").find("a pointer of Git LFS"), 0u);
  write("a.bin", "xx");
  write("a.idx", kPointer);
  EXPECT_EQ(error("a.idx").find("a pointer of Git LFS"), 0u);
  write("a.idx", test::megatron_index({1}, 8, 2));
  EXPECT_NO_THROW(open());
}

TEST_F(CheckFilesTest, CompressedFilesUnderOtherNames) {
  for (const std::string name : {"a.jsonl", "a.txt"}) {
    const test::TemporaryFolder folder;
    options_.path = folder / name;
    write_file(folder / name, gzip(jsonl({"a"})));
    EXPECT_NE(error(name).find("is compressed with gzip: unpack it"), std::string::npos);
    write_file(folder / name, zstd(jsonl({"a"})));
    EXPECT_NE(error(name).find("is compressed with zstd: unpack it"), std::string::npos);
    write_file(folder / name, "PAR1....");
    EXPECT_NE(error(name).find("is a Parquet file: "), std::string::npos);
  }
  const test::TemporaryFolder folder;
  options_.path = folder / "a.jsonl.gz";
  write_file(options_.path, gzip(gzip(jsonl({"a"}))));
  EXPECT_NE(error("").find("is compressed with gzip"), std::string::npos) << "twice";
  write_file(options_.path, zstd(jsonl({"a"})));
  EXPECT_NE(error("").find("is compressed with zstd"), std::string::npos);
}

TEST_F(CheckFilesTest, Utf16) {
  const std::string le = "\xff\xfe{\0\"\0t\0e\0x\0t\0\"\0:\0\"\0a\0\"\0}\0\n\0"s;
  write("a.jsonl", le);
  EXPECT_EQ(error("a.jsonl"),
            "text in UTF-16 or UTF-32: convert it: iconv -f UTF-16 -t UTF-8 (or from UTF-32)");
  write("a.jsonl", le.substr(2));
  EXPECT_EQ(error("a.jsonl").find("text in UTF-16"), 0u) << "without its mark";
  const test::TemporaryFolder folder;
  options_.path = folder / "a.txt.gz";
  write_file(options_.path, gzip(le));
  EXPECT_NE(error("").find("is text in UTF-16"), std::string::npos);
}

TEST_F(CheckFilesTest, JsonThatIsNotARowToALine) {
  options_.check_first_rows = false;  // nor could its rows be skipped
  const std::string array =
      "a JSON array; rows are objects, one on each line. This makes it so: jq -c '.[]' a.json > "
      "rows.jsonl";
  for (const std::string text : {"[{\"text\": \"a\"}]", "\n  [\n  {\"text\": \"a\"}\n]\n",
                                 "[{\"text\": \"a\"},\n{\"text\": \"b\"}]"}) {
    write("a.json", text);
    EXPECT_EQ(error("a.json"), array) << text;
  }
  write("a.json", "{\r\n  \"text\": \"a\"\r\n}\r\n");
  EXPECT_EQ(error("a.json").find("JSON over several lines; rows are objects"), 0u);
  write("a.json", "<!DOCTYPE html>\n<html>");
  EXPECT_EQ(error("a.json").find("a page of HTML"), 0u);
}

// Notes which files are read.
class WatchedFiles final : public test::FaultyFileSystem {
 public:
  std::unique_ptr<base::ReadableFile> open_for_reading(const std::string& path) override {
    return std::make_unique<Watched>(FaultyFileSystem::open_for_reading(path), read);
  }
  std::set<std::string> read;

 private:
  class Watched final : public base::ReadableFile {
   public:
    Watched(std::unique_ptr<base::ReadableFile> file, std::set<std::string>& read)
        : file_(std::move(file)), read_(read) {}
    std::size_t read_at(std::uint64_t offset, std::span<char> out) const override {
      read_.insert(file_->path());
      return file_->read_at(offset, out);
    }
    std::uint64_t size() const override { return file_->size(); }
    const std::string& path() const override { return file_->path(); }

   private:
    std::unique_ptr<base::ReadableFile> file_;
    std::set<std::string>& read_;
  };
};

TEST_F(CheckFilesTest, RanksShareManyFiles) {
  const auto name = [](int i) { return concat(i + 100, ".jsonl"); };
  for (int i = 0; i < 64; ++i) write(name(i), jsonl({"a"}));
  options_.ranks = 3;
  const auto read_by = [&](std::int64_t rank) {
    WatchedFiles files;
    options_.rank = rank;
    open_source(files, options_);
    return files.read;
  };
  for (std::int64_t rank = 0; rank < 3; ++rank) EXPECT_EQ(read_by(rank).size(), 64u) << "few";
  write(name(64), jsonl({"a"}));
  std::set<std::string> all;
  for (std::int64_t rank = 0; rank < 3; ++rank) {
    const std::set<std::string> mine = read_by(rank);
    EXPECT_LE(mine.size(), 23u) << "a third, and the first one to read";
    all.insert(mine.begin(), mine.end());
  }
  EXPECT_EQ(all.size(), 65u) << "each by somebody";
  // One that is no data ends the rank that looks at it, wherever it is.
  for (int bad = 62; bad < 65; ++bad) {
    write(name(bad), kPointer);
    for (std::int64_t rank = 0; rank < 3; ++rank) {
      options_.rank = rank;
      if (rank == bad % 3) {
        EXPECT_EQ(error(name(bad)).find("a pointer of Git LFS"), 0u);
      } else {
        EXPECT_NO_THROW(open()) << bad << " " << rank;
      }
    }
    write(name(bad), jsonl({"a"}));
  }
  options_.ranks = 1;
  options_.rank = 0;
  EXPECT_EQ(read_by(0).size(), 65u);
}

TEST_F(CheckFilesTest, AFileBesideTheDataIsFoundAtTheStart) {
  write("a.jsonl", jsonl({"a", "b"}));
  write("stats.json", "{\"rows\": 2}\n");
  EXPECT_EQ(error(""),
            (folder_ / "stats.json") +
                ":1: the row has no 'text'. It is the first row of its file: if the file "
                "is no data, move it away. To skip such rows: data.on_bad_row = "
                "\"skip\"");
  options_.check_first_rows = false;
  EXPECT_NO_THROW(open());
  options_.check_first_rows = true;
  write("stats.json", "\n \n");
  EXPECT_NO_THROW(open()) << "no row at all";
  write("stats.json", "");
  EXPECT_NO_THROW(open());
}

}  // namespace
}  // namespace titan::text
