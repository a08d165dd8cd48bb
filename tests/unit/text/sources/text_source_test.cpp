#include <gtest/gtest.h>

#include <random>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "text/sources/text_pieces.h"
#include "titan/base/file_system.h"
#include "titan/text/sources/document_source.h"
#include "unit/text/data/data_test_support.h"
#include "unit/text/sources/compress.h"
#include "unit/text/sources/source_checks.h"

namespace titan::text {
namespace {

using test::read_units;
using test::Units;
using test::write_file;
using Texts = std::vector<std::string>;

constexpr std::size_t kMiB = 1 << 20;

class TextSourceTest : public ::testing::Test {
 protected:
  TextSourceTest() { options_.path = folder_.path(); }
  std::unique_ptr<DocumentSource> open() {
    return open_source(base::posix_file_system(), options_);
  }
  // The pieces of a text, and the text that they are together.
  std::vector<Document> pieces(const std::string& text) {
    write_file(folder_ / "a.txt", text);
    const auto source = open();
    std::vector<Document> all;
    EXPECT_TRUE(source->open(0, 0, std::nullopt));
    for (Document document; source->next(document);) all.push_back(document);
    return all;
  }
  static std::string join(const std::vector<Document>& pieces) {
    std::string text;
    for (const Document& piece : pieces) text += piece.text;
    return text;
  }

  test::TemporaryFolder folder_;
  SourceOptions options_;
};

TEST_F(TextSourceTest, AFileIsADocument) {
  write_file(folder_ / "a.txt", "first\n\ntext");
  write_file(folder_ / "b.txt", "");
  write_file(folder_ / "c.txt", "\xEF\xBB\xBFthird");
  write_file(folder_ / "d.txt.gz", test::gzip("fourth"));
  const auto source = open();
  EXPECT_STREQ(source->units(), "files");
  EXPECT_EQ(source->unit_count(), 3);  // the empty one is left out
  EXPECT_EQ(read_units(*source), (Units{{"first\n\ntext"}, {"third"}, {"fourth"}}));
}

TEST_F(TextSourceTest, ALongTextComesInPieces) {
  std::string text;
  for (int line = 0; text.size() < 3 * kMiB + 1000; ++line)
    text += std::to_string(line) + " words\n";
  const std::vector<Document> all = pieces(text);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(join(all), text);
  std::size_t begin = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].begins, i == 0);
    EXPECT_EQ(all[i].ends, i == 3);
    EXPECT_GE(begin, i * kMiB);
    EXPECT_LT(begin, i * kMiB + 20);
    begin += all[i].text.size();
  }
}

TEST_F(TextSourceTest, ACutIsWhereNoTokenCanReachOver) {
  // Line ends around 1 MiB with white space behind them, then one without.
  const std::string text = std::string(kMiB - 1, 'x') +
                           "\n\n \n\t\n\u00a0\n\u3000\n\u2028\nyes, here\n" + std::string(100, 'z');
  const std::vector<Document> all = pieces(text);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].text.substr(0, 9), "yes, here");
  EXPECT_EQ(join(all), text);
}

TEST_F(TextSourceTest, ACutBehindExactlyOneMiBCounts) {
  const std::vector<Document> all = pieces(std::string(kMiB - 1, 'x') + "\n" + "tail");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].text, "tail");
}

TEST_F(TextSourceTest, WithoutALineEndAPieceIsLonger) {
  const std::string text = std::string(2 * kMiB + 100, 'x') + "\nsecond\n" + std::string(kMiB, 'y');
  const std::vector<Document> all = pieces(text);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].text.substr(0, 7), "second\n");
  EXPECT_EQ(pieces(std::string(5 * kMiB, 'x')).size(), 1u);
}

TEST_F(TextSourceTest, PiecesAreReopenedExactly) {
  std::mt19937 random(3);
  const char* parts[] = {"word ", "\n", " ", "é", "\u3000", "日本", "\r\n", "0123456789"};
  std::string text;
  while (text.size() < 5 * kMiB) text += parts[random() % std::size(parts)];
  write_file(folder_ / "a.txt", text);
  write_file(folder_ / "b.txt.zst", test::zstd(text));
  write_file(folder_ / "c.txt", "short");
  const auto source = open();
  const Units units = read_units(*source);
  EXPECT_EQ(units[0], units[1]);
  EXPECT_GT(units[0].size(), 4u);
  EXPECT_TRUE(test::reopens_everywhere(*source, units));
  EXPECT_EQ(read_units(*source, 7), units);  // pieces of a document are never shuffled
  EXPECT_THROW(source->open(2, 2, std::nullopt), RunError);
}

TEST_F(TextSourceTest, AnyFileIsTextWhereTheFormatSaysSo) {
  write_file(folder_ / "README", "read me");
  write_file(folder_ / "main.cpp", "int main();");
  write_file(folder_ / ".hidden", "no");
  options_.format = config::DataFormat::kText;
  EXPECT_EQ(read_units(*open()), (Units{{"read me"}, {"int main();"}}));
}

TEST_F(TextSourceTest, EmptyFilesAreNoData) {
  write_file(folder_ / "a.txt", "");
  EXPECT_NE(test::message_of<RunError>([&] { open(); }).find("no data: "), std::string::npos);
}

TEST(TextPiecesTest, KnowsTheWhiteSpaceOfUnicode) {
  for (const char* space : {" ", "\t", "\n", "\v", "\f", "\r", "\u0085", "\u00a0", "\u1680",
                            "\u2000", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"}) {
    EXPECT_TRUE(begins_white_space(space, 0)) << space;
  }
  for (const char* other :
       {"x", "\u0084", "\u00a1", "\u1681", "\u200b", "\u2030", "\u3001", "語"}) {
    EXPECT_FALSE(begins_white_space(other, 0)) << other;
  }
}

}  // namespace
}  // namespace titan::text
