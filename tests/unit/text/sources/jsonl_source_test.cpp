#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "text/sources/sources_of_formats.h"
#include "titan/base/file_system.h"
#include "titan/text/sources/document_source.h"
#include "unit/text/data/data_test_support.h"
#include "unit/text/sources/compress.h"
#include "unit/text/sources/source_checks.h"

namespace titan::text {
namespace {

using test::gzip;
using test::jsonl;
using test::message_of;
using test::read_unit;
using test::read_units;
using test::Units;
using test::write_file;
using test::zstd;
using Texts = std::vector<std::string>;

class JsonlSourceTest : public ::testing::Test {
 protected:
  JsonlSourceTest() { options_.path = folder_.path(); }

  std::unique_ptr<DocumentSource> open() {
    return open_source(base::posix_file_system(), options_);
  }
  std::string path(const std::string& name = "a.jsonl") const { return folder_ / name; }
  // What reading rows gives, one document a unit.
  Texts read(const std::string& bytes) {
    write_file(path(), bytes);
    return test::join(read_units(*open()));
  }

  test::TemporaryFolder folder_;
  SourceOptions options_;
};

TEST_F(JsonlSourceTest, ReadsTheTextAndNothingElse) {
  EXPECT_EQ(read(R"({"text": "a"}
{"id": 7, "meta": {"text": 3, "list": [1.5, {"text": "no"}]}, "text": "b", "tail": null}
{"text": "first", "text": "last"})"),
            (Texts{"a", "b", "last"}));
}

TEST_F(JsonlSourceTest, ReadsAnotherField) {
  options_.text_field = "content";
  EXPECT_EQ(read(R"({"text": "no", "content": "yes"})"), Texts{"yes"});
  EXPECT_EQ(read(R"({"text": "no"})"), Texts{"bad: " + path() + ":1: the row has no 'content'"});
}

TEST_F(JsonlSourceTest, ReadsPromptsAndResponses) {
  options_.prompt_field = "question";
  options_.response_field = "answer";
  EXPECT_EQ(read(R"({"question": "why?", "answer": "so", "text": "no"}
{"answer": "so"}
{"question": "why?"}
{"question": ["why?"], "answer": "so"}
{"answer": "last", "question": "first"}
7)"),
            (Texts{"(why?)so", "bad: " + path() + ":2: the row has no 'question'",
                   "bad: " + path() + ":3: the row has no 'answer'",
                   "bad: " + path() + ":4: 'question' must be a string, not a list", "(first)last",
                   "bad: " + path() +
                       ":6: a row must be an object with a string 'answer', not a number"}));
}

TEST_F(JsonlSourceTest, DecodesStrings) {
  EXPECT_EQ(read(R"({"text": "\u00e9\ud83e\udd16\n\"\\\/\u0000x"})"),
            Texts{std::string("é🤖\n\"\\/\0x", 12)});
}

TEST_F(JsonlSourceTest, FieldsThatNobodyReadsMayHoldWhatPythonWrites) {
  for (const std::string value :
       {"NaN", "Infinity", "-Infinity", "1e400", "-1E+9999", "\"\\ud800\"", "\"\xff\"",
        "[NaN, {\"text\": [Infinity, 1e999]}]", "{\"a\\\"b\\\\\": NaN, \"c\": []}",
        "123456789012345678901234567890", "[[[{}]], -0.5e-3]", "\"tab\there\""}) {
    EXPECT_EQ(
        read("{\"n\": " + value + ", \"text\": \"a\"}\n{\"text\" : \"b\" ,\"n\" :" + value + " } "),
        (Texts{"a", "b"}))
        << value;
    EXPECT_EQ(read("{\"text\": " + value + "}").front().find("bad: "), 0u) << value;
  }
  EXPECT_EQ(read("{\"\\ud800\": 1, \"\xff\": 2, \"te\\u0078t\": \"a\"}"), Texts{"a"});
  const std::string deep(1 << 20, '[');
  EXPECT_EQ(read("{\"n\": " + deep + std::string(1 << 20, ']') + ", \"text\": \"a\"}"), Texts{"a"});
}

TEST_F(JsonlSourceTest, BadRowsNameFileAndLineAndTheNextOnesCome) {
  const auto error = [&](const std::string& row) {
    const Texts seen = read("{\"text\": \"a\"}\n\n" + row + "\n{\"text\": \"b\"}\n");
    EXPECT_EQ(seen.size(), 3u) << row;
    EXPECT_EQ(seen.back(), "b") << row;
    const std::string place = "bad: " + path() + ":3: ";
    EXPECT_EQ(seen[1].find(place), 0u) << seen[1];
    return seen[1].substr(place.size());
  };
  EXPECT_EQ(error("{\"txt\": \"a\"}"), "the row has no 'text'");
  EXPECT_EQ(error("{}"), "the row has no 'text'");
  EXPECT_EQ(error("{\"a\": {\"text\": \"b\"}}"), "the row has no 'text'");
  EXPECT_EQ(error("{\"text\": 7}"), "'text' must be a string, not a number");
  EXPECT_EQ(error("{\"text\": null}"), "'text' must be a string, not null");
  EXPECT_EQ(error("{\"text\": [\"a\"]}"), "'text' must be a string, not a list");
  EXPECT_EQ(error("{\"text\": {}}"), "'text' must be a string, not an object");
  EXPECT_EQ(error("[{\"text\": \"a\"}]"),
            "a row must be an object with a string 'text', not a list");
  EXPECT_EQ(error("{\"text\": \"cut of"),
            "invalid JSON at byte 17 of the line: a string has no closing quote");
  EXPECT_EQ(error("{\"n\": 1, \"text\": \"a\\ud800b\"}"),
            "invalid JSON at byte 26 of the line: invalid string: surrogate U+D800..U+DBFF must be "
            "followed by U+DC00..U+DFFF");
  for (const char* row : {"{\"text\": \"a\"} {}",
                          "{\"text\": \"\\ud800\"}",
                          "{\"text\": \"\xff\"}",
                          "{text: 1}",
                          "x",
                          "{\"text\": \"a\tb\"}",
                          "{\"text\": \"\\x\"}",
                          "{\"text\": \"a\",}",
                          "{\"text\": \"a\"",
                          "{\"text\" \"a\"}",
                          "{\"text\": \"a\", \"n\": 01}",
                          "{\"text\": \"a\", \"n\": 1.}",
                          "{\"text\": \"a\", \"n\": -}",
                          "{\"text\": \"a\", \"n\": nan}",
                          "{\"text\": \"a\", \"n\": [1,]}",
                          "{\"text\": \"a\", \"n\": [1}}",
                          "{\"text\": \"a\", \"n\": {1: 2}}",
                          "{\"text\": \"a\", \"n\": [1 2]}",
                          "{\"text\": \"a\", \"n\": \"b\\\"}",
                          "{\"text\": \"a\", \"n\": }",
                          "{\"text\": \"a\" \"n\": 1}"}) {
    EXPECT_EQ(error(row).find("invalid JSON at byte "), 0u) << row;
  }
  EXPECT_LT(error("{\"text\": \"" + std::string(1 << 20, 'x')).size(), 200u);
}

// Random files: short and long lines, bad and blank ones, with and without a last line end, one
// line longer than two blocks.
class RandomJsonl : public JsonlSourceTest, public ::testing::WithParamInterface<int> {
 protected:
  RandomJsonl() : random_(static_cast<unsigned>(GetParam())) {
    for (const std::string name : {"a", "b", "c"}) {
      contents_.push_back(make_file(name));
      write_file(path(name + ".jsonl"), contents_.back());
    }
    write_file(path("d.jsonl"), "");
    expected_ = test::join(read_units(*open()));
  }

  std::string make_file(const std::string& name) {
    std::string bytes;
    const int rows = static_cast<int>(random_() % 400);
    for (int row = 0; row < rows; ++row) {
      std::string text = name + std::to_string(row) + " ";
      text.resize(text.size() + random_() % (random_() % 8 ? 100 : 30'000), 'x');
      if (row == 20) text.resize(700'000, 'y');
      bytes += jsonl({text});
      if (random_() % 10 == 0) bytes += " \r\n";
    }
    if (random_() % 2 && !bytes.empty()) bytes.pop_back();
    return bytes;
  }

  std::mt19937 random_;
  std::vector<std::string> contents_;
  Texts expected_;
};

TEST_P(RandomJsonl, RowsCanBeReadFromAnywhere) {
  const auto source = open();
  EXPECT_STREQ(source->units(), "rows");
  EXPECT_FALSE(source->is_interleaved());
  const Units units = read_units(*source);
  EXPECT_EQ(source->unit_count(), std::ssize(units));
  EXPECT_TRUE(test::reopens_everywhere(*source, units));
}

TEST_P(RandomJsonl, BlocksTogetherHoldEveryRowOnce) {
  options_.units = "blocks";
  const auto source = open();
  EXPECT_STREQ(source->units(), "blocks");
  const Units units = read_units(*source);
  EXPECT_EQ(source->unit_count(), std::ssize(units));
  EXPECT_EQ(test::join(units), expected_);
}

TEST_P(RandomJsonl, ShuffledBlocksAreReopenedExactly) {
  options_.units = "blocks";
  const auto source = open();
  const Units plain = read_units(*source);
  const Units units = read_units(*source, 11);
  ASSERT_EQ(units.size(), plain.size());
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    EXPECT_TRUE(std::is_permutation(units[unit].begin(), units[unit].end(), plain[unit].begin(),
                                    plain[unit].end()));
  }
  if (expected_.size() > 20) {
    EXPECT_NE(units, plain);
    EXPECT_NE(units, read_units(*source, 12));
  }
  EXPECT_EQ(units, read_units(*source, 11));
  // Opening each of thousands of rows reads its block again: one unit of each kind is enough.
  for (std::int64_t unit = 0; unit < std::ssize(units); unit += 7) {
    const auto& whole = units[static_cast<std::size_t>(unit)];
    for (std::size_t skip = 0; skip <= whole.size(); skip += 1 + whole.size() / 9) {
      EXPECT_EQ(read_unit(*source, unit, static_cast<std::int64_t>(skip), 11),
                Texts(whole.begin() + static_cast<std::ptrdiff_t>(skip), whole.end()));
    }
  }
}

TEST_P(RandomJsonl, CompressedFilesHoldTheSameRows) {
  const test::TemporaryFolder compressed;
  options_.path = compressed.path();
  for (std::size_t i = 0; i < contents_.size(); ++i) {
    const std::string name = compressed / std::string(1, static_cast<char>('a' + i)) + ".jsonl";
    if (i == 0) {
      write_file(name + ".gz", gzip(contents_[i]));
    } else {
      write_file(name + ".zst", zstd(contents_[i]));
    }
  }
  const auto by_file = open();
  EXPECT_STREQ(by_file->units(), "files");
  EXPECT_EQ(by_file->unit_count(), 3);
  EXPECT_EQ(test::join(read_units(*by_file)), expected_);
  const Units shuffled = read_units(*by_file, 5);
  EXPECT_TRUE(
      std::is_permutation(expected_.begin(), expected_.end(), test::join(shuffled).begin()));
  for (std::int64_t unit = 0; unit < 3; ++unit) {
    const auto& whole = shuffled[static_cast<std::size_t>(unit)];
    for (std::size_t skip = 0; skip <= whole.size(); skip += 1 + whole.size() / 5) {
      EXPECT_EQ(read_unit(*by_file, unit, static_cast<std::int64_t>(skip), 5),
                Texts(whole.begin() + static_cast<std::ptrdiff_t>(skip), whole.end()));
    }
  }

  options_.ranks = 2;  // does not divide 3 files
  const auto by_row = open();
  EXPECT_STREQ(by_row->units(), "rows");
  EXPECT_TRUE(by_row->is_interleaved());
  EXPECT_EQ(by_row->unit_count(), std::nullopt);
  EXPECT_EQ(test::join(read_units(*by_row)), expected_);
  for (std::int64_t unit = std::ssize(expected_) - 1; unit >= 0; unit -= 37) {
    EXPECT_EQ(read_unit(*by_row, unit), Texts{expected_[static_cast<std::size_t>(unit)]});
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomJsonl, ::testing::Values(1, 2, 3, 4, 5, 6));

TEST_F(JsonlSourceTest, ShufflesRowsWhereBlocksWouldBeFew) {
  options_.shuffle = true;
  write_file(path(), jsonl(std::vector<std::string>(90, std::string(100'000, 'x'))));
  EXPECT_STREQ(open()->units(), "blocks") << "9 MB for one rank";
  options_.ranks = 2;
  EXPECT_STREQ(open()->units(), "rows");
}

TEST_F(JsonlSourceTest, BadRowsInBlocksNameTheByte) {
  options_.units = "blocks";
  EXPECT_EQ(read("{\"text\": \"a\"}\nx\n")[1].find("bad: " + path() + ": line at byte 14: invalid"),
            0u);
}

TEST_F(JsonlSourceTest, UnitsOfAContinuedRunAreKept) {
  write_file(path("a.jsonl.gz"), gzip(jsonl({"a", "b"})));
  EXPECT_STREQ(open()->units(), "files");
  options_.units = "rows";
  EXPECT_STREQ(open()->units(), "rows");
  options_.shuffle = true;  // rows in random order must be counted
  EXPECT_EQ(open()->unit_count(), 2);
  options_.units = "blocks";
  EXPECT_EQ(message_of<RunError>([&] { open(); }),
            "cannot continue in '" + folder_.path() + "' by blocks: it is compressed JSONL now");
}

TEST_F(JsonlSourceTest, DescriptionsTellDataApart) {
  write_file(path("a.jsonl"), jsonl({"a"}));
  write_file(path("b.jsonl"), jsonl({"b"}));
  const std::string description = open()->description();
  EXPECT_EQ(description.substr(0, description.rfind(", ")),
            "JSONL in 2 files, a.jsonl (14 bytes) ... b.jsonl (14 bytes)");
  EXPECT_EQ(open()->description(), description);
  write_file(path("aa.jsonl"), "");
  EXPECT_NE(open()->description(), description);
}

TEST_F(JsonlSourceTest, DamagedCompressionEndsTheReading) {
  const std::string good = gzip(jsonl(Texts(10'000, "some text")));
  write_file(path("a.jsonl.gz"), good.substr(0, good.size() / 2));
  const auto source = open();
  const std::string message = message_of<RunError>([&] { read_units(*source); });
  EXPECT_EQ(message.find(path("a.jsonl.gz") + ": damaged gzip data at byte "), 0u) << message;
}

TEST_F(JsonlSourceTest, EveryFailingCallEndsTheReadingAndNamesTheFile) {
  const std::string bytes = jsonl(Texts(30'000, "some text"));
  for (const std::string extension : {".jsonl", ".jsonl.gz", ".jsonl.zst"}) {
    const std::string name = path("a" + extension);
    write_file(name, extension == ".jsonl"      ? bytes
                     : extension == ".jsonl.gz" ? gzip(bytes)
                                                : zstd(bytes));
    options_.path = name;
    int failures = 0;
    for (bool failed = true; failed; ++failures) {
      test::FaultyFileSystem disk;
      disk.fail_call(failures + 1, EIO);
      failed = false;
      try {
        const auto source = open_source(disk, options_);
        EXPECT_EQ(test::join(read_units(*source)).size(), 30'000u);
      } catch (const BadRow& error) {
        ADD_FAILURE() << "only a bad row: " << error.what();
      } catch (const RunError& error) {
        failed = true;
        EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
      }
    }
    EXPECT_GT(failures, 5);
  }
}

TEST_F(JsonlSourceTest, ThereMustBeRows) {
  write_file(path(), " \n\n");
  EXPECT_EQ(message_of<RunError>([&] { open(); }),
            "no data: there are no rows in '" + folder_.path() + "'");
}

TEST_F(JsonlSourceTest, GoingBehindTheEndOfAUnitIsAnError) {
  write_file(path(), jsonl({"a", "b"}));
  EXPECT_THROW(open()->open(0, 2, std::nullopt), RunError);
  options_.units = "blocks";
  EXPECT_TRUE(open()->open(0, 2, std::nullopt));
  EXPECT_NE(message_of<RunError>([&] { open()->open(0, 3, 1); }).find("there are 2 rows"),
            std::string::npos);
}

}  // namespace
}  // namespace titan::text
