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

TEST(Regex, WhatWouldMatchDifferentlyIsRefused) {
  for (const char* pattern :
       {"\\b",  "\\w",      "\\h",        "^a",     "a$",    "[[:alpha:]]", "[a&&b]",    "[a",
        "[]a]", "a(?i)b",   "(?<name>a)", "(?m:.)", "a{2}+", "a{2}?",       "a{,3}",     "{",
        "\\1",  "\\p{Han}", "\\p{C}",     "\\pL",   "[\\S]", "[\\P{L}]",    "(*ACCEPT)", "\\"}) {
    EXPECT_NE(test::message_of<RegexError>([&] {
                Regex{pattern};
              }).find("not available in this build yet"),
              std::string::npos)
        << pattern;
  }
  for (const char* pattern : {"(a", "a)", "*", "\\p{Lu"})
    EXPECT_THROW(Regex{pattern}, RegexError) << pattern;
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
