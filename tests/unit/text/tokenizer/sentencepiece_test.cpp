// Models built by hand; tests/python/tokenizer_sentencepiece_test.py compares trained ones with the
// `sentencepiece` package.

#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <limits>
#include <thread>
#include <vector>

#include "support/throws.h"
#include "text/tokenizer/load_sentencepiece.h"
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

std::unique_ptr<protocols::Tokenizer> load(const std::string& model) {
  return load_sentencepiece(model, "m");
}

std::string error(const std::string& model) {
  return test::message_of<RunError>([&] { load(model)->encode("abc", false, false); });
}

// A model with replacement rules: the array's `units`, then the replacements.
std::string with_rules(const std::vector<std::uint32_t>& units, const std::string& replacements) {
  std::string map = little_endian(static_cast<std::uint32_t>(4 * units.size()));
  for (const std::uint32_t unit : units) map += little_endian(unit);
  return small_model(1) + bytes_field(3, bytes_field(2, map + replacements));
}

// Units of an array (Darts-clone).
std::uint32_t leading_to(std::uint32_t offset) { return offset << 10; }
std::uint32_t labelled(char label, std::uint32_t offset, bool ends_here) {
  return static_cast<unsigned char>(label) | (ends_here ? 1U << 8 : 0) | leading_to(offset);
}
std::uint32_t value(std::uint32_t place) { return 1U << 31 | place; }
constexpr std::uint32_t kNoUnit = 1U << 31;

// One rule, for "x"; its value is at unit 2.
std::string with_one_rule(std::uint32_t place, const std::string& replacements) {
  std::vector<std::uint32_t> units(256, kNoUnit);
  units[0] = leading_to(1);
  units[1 ^ 'x'] = labelled('x', 1 ^ 'x' ^ 2, true);
  units[2] = value(place);
  return with_rules(units, replacements);
}

TEST(SentencePiece, UnigramTakesTheBestPath) {
  const auto tokenizer = load(small_model(1));
  EXPECT_EQ(tokenizer->encode("ab", false, false), (Ids{7, 5})) << "-3.5 beats -4 and -4.5";
  EXPECT_EQ(tokenizer->encode(" a  a ", true, true), (Ids{1, 7, 7, 2}));
  EXPECT_EQ(tokenizer->encode("xyb", false, false), (Ids{3, 0, 5})) << "one unknown for a run";
  EXPECT_EQ(tokenizer->encode("", true, true), (Ids{1, 2}));
  EXPECT_EQ(tokenizer->decode({1, 7, 5, 3, 0, 2}, true), "ab  \u2047 ");
  EXPECT_EQ(tokenizer->decode({1, 7, 2}, false), "<s>a</s>");
  EXPECT_THROW(tokenizer->decode({9}, true), RunError);
}

TEST(SentencePiece, BpeMergesTheHighestScoreFirst) {
  const auto tokenizer = load(small_model(2));
  EXPECT_EQ(tokenizer->encode("ab", false, false), Ids{8}) << "a and b, then the blank";
  EXPECT_EQ(tokenizer->encode("a ba", false, false), (Ids{7, 3, 5, 4}));
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->eos_id(), 2);
  EXPECT_EQ(tokenizer->token_to_id("▁ab"), 8);
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
  EXPECT_EQ(tokenizer->encode("aé", false, false), (Ids{7, 9 + 0xC3, 9 + 0xA9}));
  EXPECT_EQ(tokenizer->decode({7, 9 + 0xC3, 9 + 0xA9, 9 + 0xFF}, true), "aé\uFFFD");
}

TEST(SentencePiece, WordsCharactersAndUnusedPieces) {
  EXPECT_EQ(load(small_model(3))->encode("ab xa a", false, false), (Ids{8, 0, 7}));
  EXPECT_EQ(load(small_model(4))->encode("ab", false, false), (Ids{3, 4, 5}));
  const auto tokenizer = load(small_model(2) + piece("▁aba", 0, 5));
  EXPECT_EQ(tokenizer->encode("aba", false, false), (Ids{8, 4})) << "an unused piece falls apart";
}

TEST(SentencePiece, TokensAndTheirNames) {
  const auto tokenizer = load(small_model(2));
  EXPECT_EQ(tokenizer->vocab_size(), 9);
  EXPECT_EQ(tokenizer->token_to_id("<unk>"), 0);
  EXPECT_EQ(tokenizer->token_to_id("none"), std::nullopt);
  EXPECT_EQ(tokenizer->token_to_id(""), std::nullopt);
  EXPECT_EQ(tokenizer->id_to_token(6), "ab");
  EXPECT_EQ(tokenizer->id_to_token(9), std::nullopt);
  EXPECT_EQ(tokenizer->id_to_token(-1), std::nullopt);
  const auto without = load(piece("<unk>", 0, 2) + piece("a", -1) + algorithm(2));
  EXPECT_EQ(without->bos_id(), std::nullopt);
  EXPECT_EQ(without->encode("a", true, true), (Ids{0, 1}));
}

TEST(SentencePiece, InvalidUtf8IsReplacedFirst) {
  const auto tokenizer = load(small_model(1) + piece("\uFFFD", -1));
  EXPECT_EQ(tokenizer->encode("\xf0\x9f\x98", false, false), (Ids{3, 9})) << "one for three bytes";
}

TEST(SentencePiece, ThreadsEncodeAlike) {
  const auto tokenizer = load(small_model(1));
  std::string text;
  for (int i = 0; i < 2000; ++i) text += i % 3 == 0 ? "ab a " : "bba";
  const Ids expected = tokenizer->encode(text, true, true);
  std::atomic<int> equal = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        if (tokenizer->encode(text, true, true) == expected) ++equal;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, 160);
}

TEST(SentencePiece, SamplesInAModelAreNotTried) {
  const std::string sample = bytes_field(1, bytes_field(1, "ab") + bytes_field(2, "other"));
  EXPECT_EQ(load(small_model(2) + bytes_field(4, sample))->encode("ab", false, false), Ids{8});
}

TEST(SentencePiece, DamagedModelsAreRefused) {
  const std::string no = "no SentencePiece model: ";
  EXPECT_EQ(error(small_model(1) + piece("a", 0)), no + "a is already defined. (m)");
  EXPECT_EQ(error(small_model(1) + piece("", 0)), no + "piece must not be empty. (m)");
  EXPECT_EQ(error(small_model(1) + piece("\xff", 0)),
            no + "piece 9 is no UTF-8 or has a zero byte (m)");
  EXPECT_EQ(error(small_model(1) + piece(std::string("a\0b", 3), 0)),
            no + "piece 9 is no UTF-8 or has a zero byte (m)");
  EXPECT_EQ(error(small_model(1) + piece("c", std::numeric_limits<float>::quiet_NaN())),
            no + "the score of piece 9 is not finite (m)");
  EXPECT_EQ(error(small_model(1) + piece("c", 0, 7)), no + "piece 9 has the unknown type 7 (m)");
  EXPECT_EQ(error(small_model(1) + piece("<0x41>", 0, 6)),
            no + "byte piece <0x41> is found although `byte_fallback` is false. (m)");
  EXPECT_EQ(error(piece("a", 0)), no + "unk is not defined. (m)");
  EXPECT_EQ(error(""), no + "unk is not defined. (m)");
  EXPECT_EQ(error(small_model(1) + bytes_field(2, number_field(35, 1))),
            no + "there are not 256 byte pieces although `byte_fallback` is true. (m)");
  EXPECT_EQ(error(small_model(5)), no + "unknown model type 5 (m)");
  EXPECT_EQ(error(small_model(1) + bytes_field(2, bytes_field(44, "\xff"))),
            no + "the text for the unknown piece is no UTF-8 (m)");
  EXPECT_EQ(error("\x0a\xff\xff\xff\xff\x0f"), no + "the file is cut off (m)");
  EXPECT_EQ(error(std::string(11, '\xff')), no + "a number of more than 64 bits (m)");
  EXPECT_EQ(error("\x0b"), no + "a field has the unknown wire type 3 (m)");
  EXPECT_EQ(error(varint(std::uint64_t{1} << 32) + varint(0)),
            no + "a field's number is too large (m)");
  EXPECT_EQ(error(base_pieces() + algorithm(1) + "\x01"), no + "the file is cut off (m)");
}

TEST(SentencePiece, WhatTheLibraryHasNoRoomForIsRefused) {
  const std::string no = "no SentencePiece model: ";
  EXPECT_EQ(error(small_model(1) + piece(std::string(4097, 'x'), 0)),
            no + "piece 9 has 4097 bytes, more than 4096 (m)");
  std::string nested = small_model(2);
  for (int i = 1; i <= 64; ++i) nested += piece(std::string(i, 'x'), 0, 4);
  EXPECT_EQ(load(nested)->encode(std::string(70, 'x'), false, false), (Ids{3, 9 + 63, 9 + 5}));
  nested += piece(std::string(65, 'x'), 0, 4);
  EXPECT_EQ(error(nested), no + "more than 64 pieces of the user begin with each other (m)");
}

TEST(SentencePiece, DamagedReplacementRulesAreRefused) {
  const std::string damaged = "no SentencePiece model: its replacement rules are damaged (m)";
  const auto with_map = [](const std::string& map) {
    return small_model(1) + bytes_field(3, bytes_field(2, map));
  };
  EXPECT_EQ(error(with_map("abc")), damaged);
  EXPECT_EQ(error(with_map(little_endian(8) + "1234")), damaged);
  EXPECT_EQ(error(with_map(little_endian(0xFFFFFFFC) + "1234")), damaged);
  EXPECT_EQ(load(with_one_rule(0, "ab"))->encode("x", false, false), (Ids{7, 5}));
  EXPECT_EQ(error(with_one_rule(99, "ab")), damaged) << "behind the replacements";
  EXPECT_EQ(error(with_one_rule(0, "\xff")), damaged);
  EXPECT_EQ(error(with_one_rule(1, "é")), damaged) << "within a character";
  EXPECT_EQ(error(with_one_rule(0, std::string(4097, 'a'))), damaged);
  std::vector<std::uint32_t> units(256, kNoUnit);
  units[0] = leading_to(256);
  EXPECT_EQ(error(with_rules(units, "a")), damaged) << "behind the array";
  // A rule for "x", "xx", "xxx", ... without end: each match is written behind the last.
  std::vector<std::uint32_t> loop(256, kNoUnit);
  loop[0] = leading_to(1);
  loop[1 ^ 'x'] = labelled('x', 'x', true);
  loop[1] = value(0);
  EXPECT_EQ(error(with_rules(loop, "a")), damaged);
}

}  // namespace
}  // namespace titan::text
