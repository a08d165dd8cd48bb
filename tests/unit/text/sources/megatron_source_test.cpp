#include <gtest/gtest.h>

#include <numeric>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "text/sources/sources_of_formats.h"
#include "titan/base/file_system.h"
#include "titan/text/sources/document_source.h"
#include "unit/text/data/data_test_support.h"
#include "unit/text/sources/source_checks.h"
#include "unit/text/sources/token_bytes.h"

namespace titan::text {
namespace {

using test::bytes_of;
using test::megatron_index;
using test::MegatronParts;
using test::message_of;
using test::read_units;
using test::Units;
using test::write_file;
using Ids = std::vector<std::int64_t>;

class MegatronSourceTest : public ::testing::Test {
 protected:
  MegatronSourceTest() { options_.path = folder_.path(); }
  void write(const std::string& name, const std::string& index, const std::string& bin) {
    write_file(folder_ / (name + ".idx"), index);
    write_file(folder_ / (name + ".bin"), bin);
  }
  std::unique_ptr<DocumentSource> open() {
    return open_source(base::posix_file_system(), options_);
  }
  // Why an index is refused, at opening or while reading.
  std::string why(const std::string& index, const std::string& bin = std::string(12, '\0')) {
    write("a", index, bin);
    const std::string message = message_of<RunError>([&] { read_units(*open()); });
    const std::string start = "'" + (folder_ / "a.idx") + "' is no usable Megatron index: ";
    EXPECT_EQ(message.find(start), 0u) << message;
    return message.substr(std::min(start.size(), message.size()));
  }

  test::TemporaryFolder folder_;
  SourceOptions options_;
};

TEST_F(MegatronSourceTest, ReadsDocumentsOfEveryIntegerType) {
  const Ids ids{1, 2, 3, 4, 5, 6};
  const auto check = [&](int type, std::int64_t width, const std::string& bin) {
    write("a", megatron_index({3, 1, 2}, type, width), bin);
    EXPECT_EQ(read_units(*open()), (Units{{"1 2 3 "}, {"4 "}, {"5 6 "}})) << type;
  };
  check(1, 1, bytes_of<std::uint8_t>(ids));
  check(2, 1, bytes_of<std::int8_t>(ids));
  check(3, 2, bytes_of<std::int16_t>(ids));
  check(4, 4, bytes_of<std::int32_t>(ids));
  check(5, 8, bytes_of<std::int64_t>(ids));
  check(8, 2, bytes_of<std::uint16_t>(ids));
}

TEST_F(MegatronSourceTest, DocumentsAreOneOrSeveralSequences) {
  MegatronParts parts;
  parts.lengths = {2, 0, 1, 3};
  parts.offsets = {0, 4, 4, 6};
  parts.ends = {0, 2, 2, 4};  // the second has no sequence
  write("a", megatron_index(parts), bytes_of<std::uint16_t>(Ids{10, 20, 30, 40, 50, 60}));
  const auto source = open();
  const Units units = read_units(*source);
  EXPECT_EQ(units, (Units{{"10 20 "}, {}, {"30 40 50 60 "}}));
  EXPECT_EQ(source->unit_count(), 3);
  EXPECT_STREQ(source->units(), "documents");
  EXPECT_TRUE(test::reopens_everywhere(*source, units));
}

TEST_F(MegatronSourceTest, PairsComeOneAfterTheOther) {
  write("a", megatron_index({1, 1}, 8, 2), bytes_of<std::uint16_t>(Ids{1, 2}));
  write("b", megatron_index({}, 8, 2), "");
  write("c", megatron_index({2}, 4, 4), bytes_of<std::int32_t>(Ids{70000, 4}));
  const auto source = open();
  const Units units = read_units(*source);
  EXPECT_EQ(units, (Units{{"1 "}, {"2 "}, {"70000 4 "}}));
  EXPECT_TRUE(test::reopens_everywhere(*source, units));
}

TEST_F(MegatronSourceTest, ALongDocumentComesInPieces) {
  const std::int64_t piece = kMegatronPiece;
  Ids ids(static_cast<std::size_t>(2 * piece + 5));
  std::iota(ids.begin(), ids.end(), 0);
  MegatronParts parts;
  parts.type = 4;
  parts.lengths = {piece / 2, 0, piece + 5, piece / 2, 0, 0};
  const std::int64_t end = 8 * piece + 20;
  parts.offsets = {0, 2 * piece, 2 * piece, 6 * piece + 20, end, end};
  parts.ends = {0, 6};
  write("a", megatron_index(parts), bytes_of<std::int32_t>(ids));
  const auto source = open();
  ASSERT_TRUE(source->open(0, 0, std::nullopt));
  Ids all;
  std::vector<std::pair<bool, bool>> flags;
  for (Document document; source->next(document);) {
    all.insert(all.end(), document.tokens.begin(), document.tokens.end());
    flags.emplace_back(document.begins, document.ends);
  }
  EXPECT_EQ(all, Ids(ids.begin(), ids.end()));
  EXPECT_EQ(flags,
            (std::vector<std::pair<bool, bool>>{{true, false}, {false, false}, {false, true}}));
  EXPECT_TRUE(test::reopens_everywhere(*source, read_units(*source)));
  EXPECT_THROW(source->open(0, 4, std::nullopt), RunError);
}

TEST_F(MegatronSourceTest, ManyDocumentsInAnyOrder) {
  Ids lengths;
  Ids ids;
  for (std::int64_t document = 0; document < 5000; ++document) {
    lengths.push_back(document % 5);
    for (std::int64_t i = 0; i < document % 5; ++i) ids.push_back(document);
  }
  write("a", megatron_index(lengths, 8, 2), bytes_of<std::uint16_t>(ids));
  const auto source = open();
  for (std::int64_t i = 0; i < 5000; ++i) {
    const std::int64_t document = i * 2003 % 5000;
    std::string expected;
    for (std::int64_t token = 0; token < document % 5; ++token) {
      expected += std::to_string(document) + " ";
    }
    const auto seen = test::read_unit(*source, document);
    ASSERT_TRUE(seen);
    EXPECT_EQ(*seen,
              document % 5 ? std::vector<std::string>{expected} : std::vector<std::string>());
  }
}

TEST_F(MegatronSourceTest, IsFoundByEitherNameOrByTheirPrefix) {
  write("a", megatron_index({1}, 8, 2), bytes_of<std::uint16_t>(Ids{7}));
  for (const std::string name : {"a.bin", "a.idx", "a"}) {
    options_.path = folder_ / name;
    EXPECT_EQ(read_units(*open()), (Units{{"7 "}})) << name;
  }
}

TEST_F(MegatronSourceTest, BothFilesMustBeThere) {
  write_file(folder_ / "a.idx", megatron_index({1}, 8, 2));
  EXPECT_EQ(message_of<RunError>([&] { open(); }),
            "'" + (folder_ / "a.idx") + "' has no .bin beside it");
  write_file(folder_ / "b.bin", "xx");
  options_.format = config::DataFormat::kMegatron;
  options_.path = folder_ / "b.bin";
  EXPECT_EQ(message_of<RunError>([&] { open(); }),
            "'" + (folder_ / "b.bin") + "' has no '" + (folder_ / "b.idx") + "' beside it");
}

TEST_F(MegatronSourceTest, HostileIndicesAreRefused) {
  const std::string good = megatron_index({3, 3}, 8, 2);
  EXPECT_EQ(why(""), "it has 0 bytes, the header alone 34");
  EXPECT_EQ(why("X" + good.substr(1)), "it does not begin with MMIDIDX");
  MegatronParts parts;
  parts.lengths = {3, 3};
  parts.offsets = {0, 6};
  parts.ends = {0, 1, 2};
  const auto why_not = [&](auto change) {
    MegatronParts changed = parts;
    change(changed);
    return why(megatron_index(changed));
  };
  EXPECT_EQ(why_not([](MegatronParts& p) { p.version = 2; }), "its version is 2, not 1");
  EXPECT_EQ(why_not([](MegatronParts& p) { p.type = 7; }),
            "its tokens are floating-point numbers (code 7)");
  EXPECT_EQ(why_not([](MegatronParts& p) { p.type = 200; }),
            "its type of tokens is unknown (code 200)");
  EXPECT_EQ(why_not([](MegatronParts& p) { p.lengths[1] = 4; }),
            "sequence 1 has 4 tokens of 2 bytes from byte 6 of a .bin of 12 bytes on");
  EXPECT_NE(why_not([](MegatronParts& p) { p.lengths[1] = -1; }).find("has -1 tokens"),
            std::string::npos);
  EXPECT_NE(why_not([](MegatronParts& p) { p.offsets[0] = INT64_MAX; }).find("sequence 0 has"),
            std::string::npos);
  EXPECT_NE(why_not([](MegatronParts& p) { p.offsets[0] = -2; }).find("sequence 0 has"),
            std::string::npos);
  EXPECT_EQ(why_not([](MegatronParts& p) { p.ends[1] = 3; }),
            "document 0 is the sequences from 0 to before 3 of 2");
  EXPECT_NE(why_not([](MegatronParts& p) { p.ends[2] = 0; }).find("document 1 is the sequences"),
            std::string::npos);
  // Pointers that are not the sums of the lengths, in a .bin that has room for them.
  EXPECT_EQ(why_not([](MegatronParts& p) { p.offsets[1] = 4; }),
            "sequence 1 begins at byte 4 of the .bin, but by the lengths before it, in tokens of 2 "
            "bytes, at byte 6");
  EXPECT_EQ(why_not([](MegatronParts& p) { p.lengths[0] = 2; }),
            "sequence 1 begins at byte 6 of the .bin, but by the lengths before it, in tokens of 2 "
            "bytes, at byte 4");
  EXPECT_NE(why_not([](MegatronParts& p) { p.type = 2; }).find("in tokens of 1 bytes, at byte 3"),
            std::string::npos);
  EXPECT_NE(why_not([](MegatronParts& p) {
              std::swap(p.offsets[0], p.offsets[1]);
            }).find("sequence 0 begins at byte 6"),
            std::string::npos);
  // A .bin that is longer.
  EXPECT_EQ(why(good, std::string(14, '\0')),
            "its sequences are 12 bytes, but the .bin has 14: it is another one, or the index was "
            "written before all of it was");
  EXPECT_NE(why(megatron_index({}, 8, 2)).find("its sequences are 0 bytes"), std::string::npos);
  // Sequences that are in no document.
  EXPECT_EQ(why_not([](MegatronParts& p) {
              p.ends = {0, 1};
            }),
            "its documents are the first 1 of 2 sequences");
  EXPECT_EQ(why_not([](MegatronParts& p) { p.ends = {0}; }),
            "its documents are the first 0 of 2 sequences");
  EXPECT_EQ(why_not([](MegatronParts& p) {
              p.ends = {1, 2};
            }),
            "its documents begin with sequence 1");
  EXPECT_NE(why(good + "x").find("should have"), std::string::npos);
  EXPECT_NE(why(good + "xx").find("multimodal"), std::string::npos);
  // Counts that would overflow or ask for all memory.
  for (const std::int64_t count : {std::int64_t{-1}, INT64_MAX, std::int64_t{1} << 60}) {
    for (const std::size_t at : {18, 26}) {
      std::string bad = good;
      bad.replace(at, 8, bytes_of<std::int64_t>(count));
      EXPECT_NE(why(bad).find("it speaks of "), std::string::npos);
    }
  }
  for (std::size_t size = 0; size < good.size(); ++size) why(good.substr(0, size));
}

TEST_F(MegatronSourceTest, NegativeTokensAreRefused) {
  write("a", megatron_index({3}, 4, 4), bytes_of<std::int32_t>(Ids{1, -100, 3}));
  EXPECT_EQ(message_of<RunError>([&] { read_units(*open()); }),
            "'" + (folder_ / "a.bin") + "' has the negative token id -100 at byte 4");
}

}  // namespace
}  // namespace titan::text
