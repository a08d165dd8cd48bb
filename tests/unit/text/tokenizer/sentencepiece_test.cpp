// Models built by hand; tests/python/tokenizer_sentencepiece_test.py compares trained ones with the
// `sentencepiece` package.

#include <gtest/gtest.h>

#include <bit>

#include "support/throws.h"
#include "text/tokenizer/sentencepiece_tokenizer.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

using Ids = std::vector<std::int64_t>;

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 128; value >>= 7) bytes += static_cast<char>(value | 128);
  return bytes + static_cast<char>(value);
}

std::string number_field(int field, std::uint64_t value) {
  return varint(field << 3) + varint(value);
}

std::string bytes_field(int field, const std::string& bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + bytes;
}

std::string little_endian(std::uint32_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> 8 * i);
  return bytes;
}

std::string piece(const std::string& text, float score, int type = 1) {
  return bytes_field(1, bytes_field(1, text) + varint(2 << 3 | 5) +
                            little_endian(std::bit_cast<std::uint32_t>(score)) +
                            number_field(3, type));
}

std::string base_pieces() {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3);
}

std::string algorithm(int type) { return bytes_field(2, number_field(3, type)); }

// "▁" 3, "a" 4, "b" 5, "ab" 6, "▁a" 7, "▁ab" 8.
std::string small_model(int type) {
  return base_pieces() + piece("▁", -3) + piece("a", -2) + piece("b", -2) + piece("ab", -1) +
         piece("▁a", -1.5F) + piece("▁ab", -4.5F) + algorithm(type);
}

SentencePieceTokenizer load(const std::string& model) {
  return SentencePieceTokenizer(parse_sentencepiece_model(model, "m"));
}

std::string error(const std::string& model) {
  return test::message_of<RunError>([&] { load(model).encode("abc", false, false); });
}

TEST(SentencePiece, UnigramTakesTheBestPath) {
  const auto tokenizer = load(small_model(1));
  EXPECT_EQ(tokenizer.encode("ab", false, false), (Ids{7, 5})) << "-3.5 beats -4 and -4.5";
  EXPECT_EQ(tokenizer.encode(" a  a ", true, true), (Ids{1, 7, 7, 2}));
  EXPECT_EQ(tokenizer.encode("xyb", false, false), (Ids{3, 0, 5})) << "one unknown for a run";
  EXPECT_EQ(tokenizer.encode("", true, true), (Ids{1, 2}));
  EXPECT_EQ(tokenizer.decode({1, 7, 5, 3, 0, 2}, true), "ab  \u2047 ");
  EXPECT_EQ(tokenizer.decode({1, 7, 2}, false), "<s>a</s>");
  EXPECT_THROW(tokenizer.decode({9}, true), RunError);
}

TEST(SentencePiece, BpeMergesTheHighestScoreFirst) {
  const auto tokenizer = load(small_model(2));
  EXPECT_EQ(tokenizer.encode("ab", false, false), Ids{8}) << "a and b, then the blank";
  EXPECT_EQ(tokenizer.encode("a ba", false, false), (Ids{7, 3, 5, 4}));
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_EQ(tokenizer.token_to_id("▁ab"), 8);
}

TEST(SentencePiece, BytesOfWhatIsUnknown) {
  std::string model = small_model(2);
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    model += piece(name, 0, 6);
  }
  model += bytes_field(2, number_field(35, 1));
  const auto tokenizer = load(model);
  EXPECT_EQ(tokenizer.encode("aé", false, false), (Ids{7, 9 + 0xC3, 9 + 0xA9}));
  EXPECT_EQ(tokenizer.decode({7, 9 + 0xC3, 9 + 0xA9, 9 + 0xFF}, true), "aé\uFFFD");
}

TEST(SentencePiece, DamagedModelsAreRefused) {
  const std::string no = "no SentencePiece model: ";
  EXPECT_EQ(error(small_model(1) + piece("a", 0)), no + "piece 'a' comes twice (m)");
  EXPECT_EQ(error(small_model(1) + piece("", 0)), no + "piece 9 is empty or no UTF-8 (m)");
  EXPECT_EQ(error(small_model(1) + piece("\xff", 0)), no + "piece 9 is empty or no UTF-8 (m)");
  EXPECT_EQ(error(small_model(1) + piece("c", std::numeric_limits<float>::quiet_NaN())),
            no + "the score of piece 9 is not finite (m)");
  EXPECT_EQ(error(small_model(1) + piece("c", 0, 7)), no + "piece 9 has the unknown type 7 (m)");
  EXPECT_EQ(error(small_model(1) + piece("<0x41>", 0, 6)),
            no + "piece '<0x41>' cannot stand for a byte (m)");
  EXPECT_EQ(error(piece("a", 0)), no + "no unknown piece (m)");
  EXPECT_EQ(error(small_model(1) + bytes_field(2, number_field(35, 1))),
            no + "not all byte pieces are there (m)");
  EXPECT_EQ(error("\x0a\xff\xff\xff\xff\x0f"), no + "the file is cut off (m)");
  EXPECT_EQ(error(std::string(11, '\xff')), no + "a number of more than 64 bits (m)");
  EXPECT_EQ(error(number_field(1, 3)), no + "field 1 has the wire type 0, not 2 (m)");
  EXPECT_EQ(error(small_model(3)),
            "not available in this build yet: a SentencePiece model of type word (m)");
  EXPECT_EQ(error(small_model(2) + piece("c", 0, 5)),
            "not available in this build yet: unused pieces in a BPE model (m)");
}

TEST(SentencePiece, DamagedCharacterMapsAreRefused) {
  const std::string damaged = "no SentencePiece model: its map of characters is damaged (m)";
  const auto with_map = [](const std::string& map) {
    return small_model(1) + bytes_field(3, bytes_field(2, map));
  };
  EXPECT_EQ(error(with_map("abc")), damaged);
  EXPECT_EQ(error(with_map(little_endian(8) + "1234")), damaged);
  // A root whose child for 'a' has a leaf that points behind the replacements.
  std::string units;
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t unit = 0;
    if (i == 0) unit = 1U << 10;                          // offset 1
    if (i == (1 ^ 'a')) unit = 'a' | 1U << 8 | 3U << 10;  // label, leaf, offset 3
    if (i == (1 ^ 'a' ^ 3)) unit = 1U << 31 | 99;         // value 99
    units += little_endian(unit);
  }
  EXPECT_EQ(error(with_map(little_endian(1024) + units + "x")), damaged);
}

}  // namespace
}  // namespace titan::text
