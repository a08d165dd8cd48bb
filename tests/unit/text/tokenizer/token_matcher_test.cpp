#include "text/tokenizer/token_matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace titan::text {
namespace {

TEST(TokenMatcher, LeftmostThenLongest) {
  const TokenMatcher matcher({{"<a>", 1}, {"<a", 2}, {"<", 3}, {"a>b", 4}});
  const auto at = [&](std::string_view text, std::size_t start) {
    const auto match = matcher.find(text, start);
    return match ? std::vector<std::size_t>{match->begin, match->end, match->id}
                 : std::vector<std::size_t>{};
  };
  using Found = std::vector<std::size_t>;
  EXPECT_EQ(at("x<a>b", 0), (Found{1, 4, 1}));
  EXPECT_EQ(at("x<a>b", 2), (Found{2, 5, 4}));
  EXPECT_EQ(at("<a", 0), (Found{0, 2, 2}));
  EXPECT_EQ(at("<<a", 0), (Found{0, 1, 3}));
  EXPECT_EQ(at("a>", 0), Found{});
  EXPECT_FALSE(TokenMatcher().find("<a>", 0));
}

TEST(TokenMatcher, AgreesWithTryingEveryToken) {
  std::mt19937 random(7);
  const auto word = [&](std::size_t longest) {
    std::string text(1 + random() % longest, ' ');
    for (char& c : text) c = "ab\xC3"[random() % 3];
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    std::vector<TokenMatcher::Entry> entries;
    for (TokenId id = 0; id < 6; ++id) {
      const std::string content = word(4);
      const bool known = std::any_of(entries.begin(), entries.end(),
                                     [&](auto& e) { return e.content == content; });
      if (!known) entries.push_back({content, id});
    }
    const std::string text = word(12);
    std::optional<TokenMatcher::Match> expected;
    for (std::size_t at = 0; at < text.size() && !expected; ++at) {
      for (const auto& entry : entries) {
        if (!std::string_view(text).substr(at).starts_with(entry.content)) continue;
        if (!expected || entry.content.size() > expected->end - at) {
          expected = TokenMatcher::Match{at, at + entry.content.size(), entry.id};
        }
      }
    }
    const auto found = TokenMatcher(entries).find(text, 0);
    ASSERT_EQ(found.has_value(), expected.has_value());
    if (found) {
      ASSERT_EQ(found->begin, expected->begin);
      ASSERT_EQ(found->id, expected->id);
    }
  }
}

}  // namespace
}  // namespace titan::text
