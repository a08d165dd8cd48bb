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
    for (const DataFile& file : found.files) names.push_back(file_name(file.path));
    return names;
  }
  std::string error() {
    return message_of<RunError>([&] { find(); });
  }

  test::TemporaryFolder folder_;
  SourceOptions options_;
  DataFormat format_ = DataFormat::kAuto;
};

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
