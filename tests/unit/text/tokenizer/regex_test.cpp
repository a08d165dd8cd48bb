#include "text/tokenizer/regex.h"

#include <gtest/gtest.h>

#include "support/throws.h"
#include "text/tokenizer/oniguruma_pattern.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

// The first match, or "none".
std::string match(std::string_view pattern, const std::string& text) {
  RegexWorkspace workspace;
  Span span;
  if (!Regex(pattern).search(text, 0, workspace, span)) return "none";
  return text.substr(span.begin, span.end - span.begin);
}

TEST(Regex, ClassesFollowOniguruma) {
  EXPECT_EQ(match(R"(\s+)", "a \u00a0\u3000\u180eb"), " \u00a0\u3000")
      << "U+180E is no white space";
  EXPECT_EQ(match(R"([^\s\p{L}]+)", "a\u180e1b"), "\u180e1");
  EXPECT_EQ(match(R"(\p{L}+)", "1\U00010D50\U00031350x"), "\U00010D50\U00031350x")
      << "since Unicode 15 and 16";
  EXPECT_EQ(match(R"(\p{Lu}+)", "x\U00010D50\U00010D70"), "\U00010D50");
  EXPECT_EQ(match(R"(\p{^N}\P{N})", "12ab"), "ab");
  EXPECT_EQ(match(R"((?i:'S))", "it'ſ"), "'ſ");
  EXPECT_EQ(match(R"(\d{2,}\D)", "1a23b"), "23b");
  EXPECT_EQ(match(R"([\[\]\-]+)", "a[-]"), "[-]");
}

TEST(Regex, LiteralsMatchThemselves) {
  const std::string all = R"(a.b*c[d]e(f)g{h}|\^$+?# é-)";
  EXPECT_EQ(match(literal_pattern(all), "x" + all + "x"), all);
}

TEST(Regex, AnchorsAndBoundaries) {
  EXPECT_EQ(match(R"(\s+$)", "a  b \n "), " \n ");
  EXPECT_EQ(match(R"(\s$)", "a \nb"), " ") << "at the end of each line";
  EXPECT_EQ(match(R"(^b)", "a\nb"), "b");
  EXPECT_EQ(match(R"(\Ab|a\Z)", "b a\n"), "b");
  EXPECT_EQ(match(R"(a\z)", "a\n"), "none");
  EXPECT_EQ(match(R"(\b..\b)", "-éa ²b"), "éa");
  EXPECT_EQ(match(R"(a\B.)", "a ab"), "ab");
}

TEST(Regex, SetOperations) {
  EXPECT_EQ(match(R"( ?[^(\s|[.,!?…。，、।۔،])]+)", "(.x(y,z"), "x") << "BLOOM's";
  EXPECT_EQ(match(R"([\p{Lo}\p{M}&&[^\p{Han}]]+)", "漢\u00aa\u0301字"), "\u00aa\u0301")
      << "Kimi K2's";
  EXPECT_EQ(match("[^a&&b]+", "ab"), "ab") << "what is not both: nothing is";
  EXPECT_EQ(match("[a-f&&[^c]&&d-z]+", "abcdefg"), "def");
  EXPECT_EQ(match("[a&&b]", "ab"), "none");
  EXPECT_EQ(match(R"([^\S\r\n]+)", "a\n \u3000\n"), " \u3000");
  EXPECT_EQ(match(R"([\P{L}a]+)", "bca1\U00010D50"), "a1");
  EXPECT_EQ(match("[[:alpha:]&&[^[:upper:]]]+", "ABcd1"), "cd");
  EXPECT_EQ(match("[[:^alpha:]]+", "ab12c"), "12");
  EXPECT_EQ(match(R"([\s-]+)", "a- -b"), "- -") << "a - behind a set is one";
  EXPECT_EQ(match(R"([\\\]&^-]+)", "a\\]&^-b"), "\\]&^-");
}

TEST(Regex, PropertiesByAllTheirNames) {
  for (const char* name : {"Lu", "lu", "Uppercase_Letter", "uppercase letter"}) {
    EXPECT_EQ(match("\\p{" + std::string(name) + "}+", "aABb"), "AB") << name;
  }
  EXPECT_EQ(match(R"(\p{Han}+)", "あ漢\U00031350々a"), "漢\U00031350々");
  EXPECT_EQ(match(R"(\p{Hiragana}+\p{Cyrillic})", "ーあア いЖ"), "いЖ")
      << "ー belongs to no one script";
  EXPECT_EQ(match(R"(\p{C}+)", "a\u200b\u0378\ue000b"), "\u200b\u0378\ue000");
  EXPECT_EQ(match(R"(\w+)", "-a²_\U00010D50-"), "a²_\U00010D50");
  EXPECT_EQ(match(R"(\p{Word}+[\p{Word}]?)", "²a²"), "²a²");
  EXPECT_EQ(match(R"(\p{Mc})", "\U0001171d\U0001171e"), "\U0001171e");
  EXPECT_EQ(match(R"(\p{Mn}+)", "\U0001171e\U0001171d\U0001171e"), "\U0001171d");
  EXPECT_EQ(match(R"([\w]+)", "-a²"), "a") << "in a class ² is no word's";
}

TEST(Regex, CharactersByNumber) {
  EXPECT_EQ(match(R"(\u200B+)", "a\u200b\u200b"), "\u200b\u200b");
  EXPECT_EQ(match(R"([\u4E00-\u9fff\x{3400}-\x{4dbf}]+)", "a㐀一b"), "㐀一");
  EXPECT_EQ(match(R"(\xe2\x80\x8b\x41)",
                  "\u200b"
                  "A"),
            "\u200b"
            "A")
      << "bytes";
  EXPECT_EQ(match(R"(\\\x{5b}\.\a?)", "\\[."), "\\[.");
  EXPECT_EQ(match(R"(\h+\H)", "xafz"), "afz");
}

TEST(Regex, Repetitions) {
  EXPECT_EQ(match("a?+b++c*+", "aabbc"), "abbc");
  EXPECT_EQ(match("a{2}+b", "aaaaab"), "aaaab") << "twice, again and again";
  EXPECT_EQ(match("a(?:bc){1,2}+d", "abcbcbcd"), "abcbcbcd");
  EXPECT_EQ(match("a{2}?b", "aaab"), "aab");
  EXPECT_EQ(match("ba{1,3}?", "baaa"), "ba");
  EXPECT_EQ(match("a{,2}b", "aaab"), "aab");
  EXPECT_EQ(match("a{,}{x}{", "a{,}{x}{"), "a{,}{x}{");
  EXPECT_EQ(match("(?<name>a)(?#b)(?m:.)", "a\n"), "a\n");
}

TEST(Regex, WhatWouldMatchDifferentlyIsRefused) {
  for (const char* pattern : {"\\X",
                              "\\G",
                              "\\K",
                              "\\k<a>",
                              "\\1",
                              "\\cA",
                              "\\pL",
                              "\\p{Kawi}",
                              "\\p{Script=Han}",
                              "\\p{Block}",
                              "\\xA0",
                              "\\u12",
                              "\\uD800",
                              "\\x{110000}",
                              "[a",
                              "[]a]",
                              "[a-\\d]",
                              "[z-a]",
                              "[&&a]",
                              "[a&&]",
                              "[[:nope:]]",
                              "(?i:ss)",
                              "(?i:Fi)",
                              "(?i:\u00df)",
                              "(?i:[\u03b1-\u03c9])",
                              "(?i:[\\p{Lu}])",
                              "(?i)a[\\p{M}]",
                              "(?i:[a&&b])",
                              "a(?i)b",
                              "(?x:a)",
                              "(?~a)",
                              "(*ACCEPT)",
                              "a{2}+?",
                              "\\"}) {
    EXPECT_NE(test::message_of<RegexError>([&] {
                Regex{pattern};
              }).find("not available in this build yet"),
              std::string::npos)
        << pattern;
  }
  for (const char* pattern : {"(a", "a)", "*", "\\p{Lu"})
    EXPECT_THROW(Regex{pattern}, RegexError) << pattern;
  EXPECT_THROW(Regex(std::string(100, '[') + "a" + std::string(100, ']')), RegexError);
}

TEST(Regex, RunawayMatchingIsAnError) {
  const std::string text(100, 'a');
  EXPECT_NE(test::message_of<RunError>([&] {
              match("(?:a|aa)+[cd]", text);
            }).find("regular expression failed"),
            std::string::npos);
}

}  // namespace
}  // namespace titan::text
