#include "text/tokenizer/utf8.h"

#include <gtest/gtest.h>

#include "text/tokenizer/byte_alphabet.h"

namespace titan::text {
namespace {

TEST(Utf8, EveryScalarSurvivesEncodingAndDecoding) {
  for (char32_t value = 0; value < 0x110000; ++value) {
    if (value == 0xD800) value = 0xE000;
    std::string text;
    append_utf8(value, text);
    const CodePoint point = decode_utf8(text);
    ASSERT_EQ(point.value, value);
    ASSERT_EQ(point.length, text.size());
    ASSERT_TRUE(is_utf8(text));
  }
}

// Unicode 16, tables 3-8 to 3-11.
TEST(Utf8, IllFormedPiecesBecomeOneReplacementEach) {
  const std::string r = "\uFFFD";
  EXPECT_EQ(to_utf8_lossy("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(to_utf8_lossy("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(to_utf8_lossy("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(to_utf8_lossy("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(to_utf8_lossy("plain"), "plain");
  EXPECT_FALSE(is_utf8("0123456789\xE2\x82"));
  EXPECT_TRUE(is_utf8("0123456789\xE2\x82\xAC"));
}

TEST(ByteAlphabet, EveryByteHasOneCharacter) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(1, static_cast<char>(byte));
    std::string characters;
    append_byte_characters(bytes, characters);
    EXPECT_EQ(bytes_of_characters(characters), bytes);
  }
  std::string characters;
  append_byte_characters(" \n\xC3\xA9!", characters);
  EXPECT_EQ(characters, "ĠĊÃ©!");
  EXPECT_EQ(bytes_of_characters("a b"), std::nullopt);
  EXPECT_EQ(bytes_of_characters("漢"), std::nullopt);
}

}  // namespace
}  // namespace titan::text
