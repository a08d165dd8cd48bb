#include "titan/base/printable.h"

#include <gtest/gtest.h>

namespace titan::base::test {
namespace {

TEST(Printable, TextIsKeptAndWhatSteersATerminalIsNot) {
  EXPECT_EQ(printable("rank 3, Größe 5 µm, 数据"), "rank 3, Größe 5 µm, 数据");
  EXPECT_EQ(printable("\x1b[31mred\x1b[0m"), "?[31mred?[0m");
  EXPECT_EQ(printable("bell\x07, back\x08, delete\x7f"), "bell?, back?, delete?");
  EXPECT_EQ(printable("a\nb\r\tc"), "a b  c");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(printable("CSI \xc2\x9b"
                      "31m"),
            "CSI ?31m");
  EXPECT_EQ(printable("turned \xe2\x80\xae"
                      "gpj.exe, line\xe2\x80\xa8"
                      "end"),
            "turned ?gpj.exe, line?end");
}

TEST(Printable, WhatIsNoUtf8IsReplacedByteByByte) {
  EXPECT_EQ(printable("\xff\xfe"), "??");
  EXPECT_EQ(printable("\xc0\x80"), "??");            // an overlong NUL
  EXPECT_EQ(printable("\xe0\x80\x9b"), "???");       // an overlong CSI
  EXPECT_EQ(printable("\xed\xa0\x80"), "???");       // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????");  // above U+10FFFF
  EXPECT_EQ(printable("cut \xe6\x95"), "cut ??");
}

TEST(Printable, LongTextIsCutBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("abcdef", 4), "abcd...");
  EXPECT_EQ(printable("aµµ", 4), "aµ...");
}

TEST(Printable, LinesBehindTheFirstCannotPassForLinesOfALog) {
  EXPECT_EQ(printable_lines("one\n[titan] INFO - forged\n  indented\n\x1b[2J\n"),
            "one\n  [titan] INFO - forged\n  indented\n  ?[2J\n");
}

}  // namespace
}  // namespace titan::base::test
