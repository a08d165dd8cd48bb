#include "components/data/text_rows.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "unit/components/data/data_test_support.h"

namespace titan::components {
namespace {

using test::message_of;
using test::write_file;

class TextRowsTest : public ::testing::Test {
 protected:
  TextRows open(std::string_view bytes) {
    write_file(path(), bytes);
    return TextRows(base::posix_file_system(), {path()});
  }
  std::vector<std::string> read(std::string_view bytes) {
    TextRows rows = open(bytes);
    return read_rest(rows);
  }
  static std::vector<std::string> read_rest(TextRows& rows) {
    std::vector<std::string> texts;
    for (std::string text; rows.next(text);) texts.push_back(text);
    return texts;
  }
  std::string error(std::string_view bytes) {
    return message_of<RunError>([&] { read(bytes); });
  }
  std::string path() const { return folder_ / "rows.jsonl"; }

  test::TemporaryFolder folder_;
};

using Texts = std::vector<std::string>;

TEST_F(TextRowsTest, ReadsTheTextAndNothingElse) {
  EXPECT_EQ(read(R"({"text": "a"}
{"id": 7, "meta": {"text": 3, "list": [1.5, {"text": "no"}]}, "text": "b", "tail": null}
{"text": "first", "text": "last"})"),
            (Texts{"a", "b", "last"}));
}

TEST_F(TextRowsTest, LineEndsBlankLinesAndByteOrderMark) {
  EXPECT_EQ(read("\xEF\xBB\xBF{\"text\": \"a\"}\r\n\r\n  \t\n{\"text\": \"b\"}\n\n"),
            (Texts{"a", "b"}));
  EXPECT_EQ(read(" {\"text\":\"no end of line\"} "), Texts{"no end of line"});
  EXPECT_EQ(read(""), Texts{});
  EXPECT_EQ(read("\n\n"), Texts{});
}

TEST_F(TextRowsTest, DecodesStrings) {
  EXPECT_EQ(read(R"({"text": "\u00e9\ud83e\udd16\n\"\\\/\u0000x"})"),
            Texts{std::string("é🤖\n\"\\/\0x", 12)});
}

TEST_F(TextRowsTest, BadRowsNameFileAndLine) {
  const std::string good = "{\"text\": \"a\"}\n\n";
  EXPECT_EQ(error(good + "{\"txt\": \"a\"}"), path() + ":3: the row has no 'text'");
  EXPECT_EQ(error(good + "{}"), path() + ":3: the row has no 'text'");
  EXPECT_EQ(error(good + "{\"a\": {\"text\": \"b\"}}"), path() + ":3: the row has no 'text'");
  EXPECT_EQ(error(good + "{\"text\": 7}"), path() + ":3: 'text' must be a string, not a number");
  EXPECT_EQ(error(good + "{\"text\": null}"), path() + ":3: 'text' must be a string, not null");
  EXPECT_EQ(error(good + "{\"text\": [\"a\"]}"),
            path() + ":3: 'text' must be a string, not a list");
  EXPECT_EQ(error(good + "{\"text\": {}}"), path() + ":3: 'text' must be a string, not an object");
  EXPECT_EQ(error(good + "[{\"text\": \"a\"}]"),
            path() + ":3: a row must be an object with a string 'text', not a list");
  EXPECT_EQ(error(good + "{\"text\": \"cut of"),
            path() +
                ":3: invalid JSON at byte 17 of the line: error while parsing value - invalid "
                "string: missing "
                "closing quote");
  for (const char* row :
       {"{\"text\": \"a\"} {}", "{\"text\": \"\\ud800\"}", "{\"text\": \"\xff\"}", "{text: 1}", "x",
        "{\"text\": \"a\", \"n\": 1e999}", "{\"text\": \"a\tb\"}"}) {
    EXPECT_EQ(error(good + row).find(path() + ":3: invalid JSON at byte "), 0u) << row;
  }
}

TEST_F(TextRowsTest, ErrorsStayShortForLongLines) {
  EXPECT_LT(error("{\"text\": \"" + std::string(1 << 20, 'x')).size(), path().size() + 200);
}

TEST_F(TextRowsTest, LinesLongerThanTheBuffer) {
  const std::string big(3'000'000, 'y');
  EXPECT_EQ(read(test::jsonl({"a", big, "b", big})), (Texts{"a", big, "b", big}));
}

TEST_F(TextRowsTest, SeeksAndCountsOverFilesAndMarks) {
  std::string bytes[3];
  Texts all;
  for (int row = 0; row < 7000; ++row) {
    all.push_back(std::to_string(row));
    bytes[row < 10 ? 0 : row < 2500 ? 1 : 2] += test::jsonl({all.back()}) + (row % 3 ? "" : "\n");
  }
  std::vector<std::string> paths;
  for (int file = 0; file < 3; ++file) {
    paths.push_back(folder_ / std::to_string(file));
    write_file(paths.back(), bytes[file]);
  }
  TextRows rows(base::posix_file_system(), paths);
  std::string text;
  for (const std::int64_t row :
       {0, 5, 9, 10, 6999, 3, 1023, 1024, 1025, 2499, 2500, 0, 5000, 4999, 2048}) {
    rows.seek(row);
    ASSERT_TRUE(rows.next(text));
    EXPECT_EQ(text, all[row]);
  }
  EXPECT_EQ(rows.count(), 7000);
  rows.seek(7000);
  EXPECT_FALSE(rows.next(text));
  EXPECT_FALSE(rows.next(text));
  rows.seek(6998);
  EXPECT_EQ(read_rest(rows), (Texts{"6998", "6999"}));
  EXPECT_NE(message_of<RunError>([&] { rows.seek(7001); }).find("there are only 7000 rows"),
            std::string::npos);
}

TEST_F(TextRowsTest, ReportsAFileThatShrinksWhileRead) {
  TextRows rows = open(test::jsonl(Texts(100'000, "some text")));
  std::string text;
  ASSERT_TRUE(rows.next(text));
  std::filesystem::resize_file(path(), 10);
  EXPECT_NE(message_of<RunError>([&] { read_rest(rows); }).find("became shorter while it was read"),
            std::string::npos);
}

}  // namespace
}  // namespace titan::components
