#include "text/sources/find_data.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/file_system.h"
#include "unit/text/data/data_test_support.h"

namespace titan::text {
namespace {

using config::DataFormat;
using test::message_of;
using test::write_file;
using Names = std::vector<std::string>;

class FindDataTest : public ::testing::Test {
 protected:
  FindDataTest() { options_.path = folder_.path(); }
  void make(const Names& names) {
    for (const std::string& name : names) write_file(folder_ / name, "something");
  }
  Names find() {
    const FoundData found = find_data(base::posix_file_system(), options_);
    format_ = found.format;
    Names names;
    for (const DataFile& file : found.files) {
      const bool is_inside = file.path.starts_with(folder_.path() + "/");
      names.push_back(is_inside ? file.path.substr(folder_.path().size() + 1) : file.path);
    }
    description_ = describe_files(found.files);
    return names;
  }
  std::string error() {
    return message_of<RunError>([&] { find(); });
  }

  test::TemporaryFolder folder_;
  SourceOptions options_;
  DataFormat format_ = DataFormat::kAuto;
  std::string description_;
};

TEST_F(FindDataTest, FoldersAreReadWithTheirFolders) {
  namespace fs = std::filesystem;
  for (const char* name : {"a/deep/er", "b", "empty", ".cache"}) {
    fs::create_directories(folder_ / name);
  }
  make(
      {"z.jsonl", "b/2.jsonl", "b/1.jsonl", "a/deep/er/x.jsonl", "a/readme.md", ".cache/no.jsonl"});
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(find(), (Names{"z.jsonl", "a/deep/er/x.jsonl", "b/1.jsonl", "b/2.jsonl"}));
  const std::string log = ::testing::internal::GetCapturedStdout();
  EXPECT_NE(log.find("and 3 of its folders: 4 files of data"), std::string::npos) << log;
  EXPECT_NE(log.find("1 file of no known format (a/readme.md)"), std::string::npos) << log;
  options_.name_prefix = "1";
  EXPECT_EQ(find(), Names{"b/1.jsonl"});
  options_.name_prefix = "";
  make({"b/c.txt"});
  EXPECT_NE(error().find("z.jsonl is jsonl, b/c.txt is text"), std::string::npos) << error();
}

TEST_F(FindDataTest, ALinkIsNoReasonToReadAFolderTwice) {
  namespace fs = std::filesystem;
  fs::create_directories(folder_ / "a/b");
  make({"a/b/1.jsonl"});
  fs::create_directory_symlink("..", folder_ / "a/circle");
  fs::create_directory_symlink("b", folder_ / "a/latest");
  EXPECT_EQ(find(), Names{"a/b/1.jsonl"});
  fs::create_directory_symlink(folder_ / "a", folder_ / "link");
  options_.path = folder_ / "link";
  EXPECT_EQ(find(), Names{"link/b/1.jsonl"}) << "a linked folder is read";
}

TEST_F(FindDataTest, FilesAreToldApartByTheirFolders) {
  std::filesystem::create_directories(folder_ / "a");
  std::filesystem::create_directories(folder_ / "b");
  make({"a/1.jsonl"});
  find();
  const std::string flat = description_;
  options_.path = folder_ / "a";
  find();
  EXPECT_EQ(description_, flat) << "whatever the path to the folder of all";
  options_.path = folder_.path();
  make({"b/1.jsonl"});
  find();
  EXPECT_EQ(description_.find("2 files, a/1.jsonl (9 bytes) ... b/1.jsonl (9 bytes), "), 0u)
      << description_;
}

TEST_F(FindDataTest, OneKindAndWhatIsNoData) {
  make({"b.jsonl.gz", "a.json", "c.jsonl.zst", "README.md", ".hidden.jsonl", "sums.sha256"});
  std::filesystem::create_directory(folder_ / "folder.jsonl");
  EXPECT_EQ(find(), (Names{"a.json", "b.jsonl.gz", "c.jsonl.zst"}));
  EXPECT_EQ(format_, DataFormat::kJsonl);
  options_.name_prefix = "b";
  EXPECT_EQ(find(), Names{"b.jsonl.gz"});
}

TEST_F(FindDataTest, SeveralKindsAreRefusedUnlessOneIsNamed) {
  make({"a.jsonl", "b.txt"});
  EXPECT_EQ(error(), "'" + folder_.path() +
                         "' holds data of several formats: a.jsonl is jsonl, b.txt is text. Set "
                         "data.format, or name one file");
  options_.format = DataFormat::kJsonl;
  EXPECT_EQ(find(), Names{"a.jsonl"});
  options_.format = DataFormat::kText;
  EXPECT_EQ(find(), (Names{"a.jsonl", "b.txt"}));
  options_.path = folder_ / "b.txt";
  options_.format = DataFormat::kAuto;
  EXPECT_EQ(find(), Names{"b.txt"});
  EXPECT_EQ(format_, DataFormat::kText);
}

TEST_F(FindDataTest, AFileOfAnyNameWithAFormat) {
  make({"data"});
  options_.path = folder_ / "data";
  EXPECT_NE(error().find("cannot tell the format of '" + options_.path + "' from its name"),
            std::string::npos);
  for (const DataFormat format : {DataFormat::kJsonl, DataFormat::kText, DataFormat::kU16}) {
    options_.format = format;
    EXPECT_EQ(find(), Names{"data"});
    EXPECT_EQ(format_, format);
  }
}

TEST_F(FindDataTest, NothingIsThere) {
  EXPECT_NE(error().find("no data: there is no .jsonl, .json, .txt"), std::string::npos);
  make({"a.jsonl"});
  options_.name_prefix = "b";
  EXPECT_NE(error().find("whose name begins with b in '" + folder_.path()), std::string::npos);
  options_.path = folder_ / "gone";
  EXPECT_EQ(error(), "no data: '" + options_.path + "' does not exist");
}

TEST_F(FindDataTest, FormatsThatCannotBeCompressedAreNotLookedInto) {
  make({"a.parquet.gz", "b.parquet"});
  EXPECT_EQ(find(), Names{"b.parquet"});
}

}  // namespace
}  // namespace titan::text
