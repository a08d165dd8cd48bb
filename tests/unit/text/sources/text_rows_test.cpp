#include "text/sources/text_rows.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "unit/text/data/data_test_support.h"
#include "unit/text/sources/compress.h"

namespace titan::text {
namespace {

using test::message_of;
using test::write_file;
using Texts = std::vector<std::string>;

class TextRowsTest : public ::testing::Test {
 protected:
  TextRows open(const std::vector<std::string>& contents, const std::string& extension = "") {
    std::vector<DataFile> data;
    for (const std::string& bytes : contents) {
      data.push_back({folder_ / (std::to_string(data.size()) + extension), bytes.size()});
      write_file(data.back().path, bytes);
    }
    return TextRows(base::posix_file_system(), data);
  }
  static Texts rest(TextRows& rows) {
    Texts texts;
    for (std::string_view line; rows.next(line);) texts.emplace_back(line);
    return texts;
  }
  Texts read(const std::string& bytes) {
    TextRows rows = open({bytes});
    return rest(rows);
  }

  test::TemporaryFolder folder_;
};

TEST_F(TextRowsTest, LineEndsBlankLinesAndByteOrderMark) {
  EXPECT_EQ(read("\xEF\xBB\xBF"
                 "a\r\n\r\n  \t\n b\n\n"),
            (Texts{"a", " b"}));
  EXPECT_EQ(read(" no end of line "), Texts{" no end of line "});
  EXPECT_EQ(read(""), Texts{});
  EXPECT_EQ(read("\n\n"), Texts{});
}

TEST_F(TextRowsTest, SaysWhereARowIs) {
  TextRows rows = open({"a\n\n\nb\n", "\nc"});
  std::vector<std::string> places;
  for (std::string_view line; rows.next(line);)
    places.push_back(place_of(rows.path(), rows.position()));
  EXPECT_EQ(places, (Texts{folder_ / "0:1", folder_ / "0:4", folder_ / "1:2"}));
}

TEST_F(TextRowsTest, LinesLongerThanTheBuffer) {
  const std::string big(3'000'000, 'y');
  EXPECT_EQ(read("a\n" + big + "\nb\n" + big), (Texts{"a", big, "b", big}));
}

TEST_F(TextRowsTest, SeeksAndCountsOverFilesAndMarks) {
  std::vector<std::string> contents(4);
  Texts all;
  for (int row = 0; row < 7000; ++row) {
    all.push_back(std::to_string(row));
    contents[row < 10 ? 0 : row < 2500 ? 1 : 3] += all.back() + (row % 3 ? "\n" : "\n\n");
  }
  std::vector<std::string> compressed;
  for (const std::string& bytes : contents) compressed.push_back(test::gzip(bytes));
  for (const bool is_compressed : {false, true}) {
    TextRows rows = is_compressed ? open(compressed, ".gz") : open(contents);
    std::string_view line;
    for (const std::int64_t row :
         {0, 5, 9, 10, 6999, 3, 1023, 1024, 1025, 2499, 2500, 0, 5000, 4999, 2048}) {
      ASSERT_TRUE(rows.seek(row));
      ASSERT_TRUE(rows.next(line));
      EXPECT_EQ(line, all[static_cast<std::size_t>(row)]);
    }
    EXPECT_EQ(rows.count(), 7000);
    EXPECT_TRUE(rows.seek(7000));
    EXPECT_FALSE(rows.next(line));
    EXPECT_FALSE(rows.next(line));
    EXPECT_TRUE(rows.seek(6998));
    EXPECT_EQ(rest(rows), (Texts{"6998", "6999"}));
    EXPECT_FALSE(rows.seek(7001));
    ASSERT_TRUE(rows.seek(0));
    EXPECT_EQ(rest(rows), all);
  }
}

TEST_F(TextRowsTest, CountsFromWhereverItIs) {
  for (const std::int64_t row : {0, 1, 1500, 2999}) {
    std::string bytes;
    for (int i = 0; i < 3000; ++i) bytes += "row\n";
    TextRows rows = open({bytes});
    ASSERT_TRUE(rows.seek(row));
    EXPECT_EQ(rows.count(), 3000);
  }
  TextRows rows = open({"a\nb\n"});
  EXPECT_FALSE(rows.seek(5));
  EXPECT_EQ(rows.count(), 2);
}

TEST_F(TextRowsTest, TooManyMarksAreThinnedOut) {
  std::string bytes;
  for (int row = 0; row < 3000; ++row) bytes += std::to_string(row) + "\n";
  open({bytes});
  TextRows rows(base::posix_file_system(), {{folder_ / "0", bytes.size()}},
                {.rows = 4, .most = 16});
  EXPECT_EQ(rows.count(), 3000);
  std::string_view line;
  for (std::int64_t row = 2999; row >= 0; --row) {
    ASSERT_TRUE(rows.seek(row) && rows.next(line));
    EXPECT_EQ(line, std::to_string(row));
  }
}

TEST_F(TextRowsTest, ReportsAFileThatShrinksOrChanges) {
  std::string bytes;
  for (int row = 0; row < 100'000; ++row) bytes += "some text\n";
  TextRows rows = open({bytes, "more"});
  std::string_view line;
  ASSERT_TRUE(rows.next(line));
  std::filesystem::resize_file(folder_ / "0", 10);
  EXPECT_NE(message_of<RunError>([&] { rest(rows); }).find("became shorter while it was read"),
            std::string::npos);

  TextRows others = open({"a\n", "b\n"});
  write_file(folder_ / "1", "something else");
  EXPECT_EQ(
      message_of<RunError>([&] { rest(others); }),
      "'" + (folder_ / "1") + "' has changed since the run began: it had 2 bytes, now it has 14");
}

}  // namespace
}  // namespace titan::text
