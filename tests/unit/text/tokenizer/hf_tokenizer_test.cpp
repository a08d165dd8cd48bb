// Small cases one can follow by hand; tests/python/tokenizer_test.py compares large ones with the
// `tokenizers` package.

#include "text/tokenizer/hf_tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/text/tokenizer/tokenizer.h"
#include "unit/text/tokenizer/tokenizer_json.h"

namespace titan::text {
namespace {

using test::build_tokenizer;
using test::Json;
using test::small_tokenizer;
using Ids = std::vector<std::int64_t>;

Ids encode(const Json& json, std::string_view text) {
  return build_tokenizer(json)->encode(text, false, false);
}

TEST(HfTokenizer, MergesByRankThenFromTheLeft) {
  const Json json = small_tokenizer();
  EXPECT_EQ(encode(json, ""), Ids{});
  EXPECT_EQ(encode(json, "abcd"), Ids{7});
  EXPECT_EQ(encode(json, "abc"), (Ids{5, 2}));
  EXPECT_EQ(encode(json, "bcd ab"), (Ids{1, 6, 4, 5}))
      << "a merges with b before the blank merges with a";
  EXPECT_EQ(encode(json, " a a"), (Ids{8, 8}));
}

TEST(HfTokenizer, BytesWithoutATokenAreDroppedOrUnknown) {
  Json json = small_tokenizer();
  EXPECT_EQ(encode(json, "axb\xff\n"), Ids{5}) << "what is left becomes neighbours";
  json["model"]["vocab"]["?"] = 9;
  json["added_tokens"][0]["id"] = 10;
  json["model"]["unk_token"] = "?";
  EXPECT_EQ(encode(json, "axxb"), (Ids{0, 9, 9, 1}));
  json["model"]["fuse_unk"] = true;
  EXPECT_EQ(encode(json, "axxbx"), (Ids{0, 9, 1, 9}));
}

TEST(HfTokenizer, IgnoreMergesTakesWholeWords) {
  Json json = small_tokenizer();
  json["model"]["vocab"]["ba"] = 9;
  json["added_tokens"][0]["id"] = 10;
  EXPECT_EQ(encode(json, "ba bab"), (Ids{1, 0, 4, 1, 5}));
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(encode(json, "ba bab"), (Ids{9, 4, 1, 5}));
}

TEST(HfTokenizer, LongWordsMergeAsShortOnesDo) {
  const auto tokenizer = build_tokenizer(small_tokenizer());
  std::string word;
  Ids expected;
  for (int i = 0; i < 100; ++i) {
    word += i % 3 == 0 ? "abcd" : i % 3 == 1 ? "cd" : "b";
    expected.push_back(i % 3 == 0 ? 7 : i % 3 == 1 ? 6 : 1);
  }
  EXPECT_EQ(tokenizer->encode(word, false, false), expected);
}

TEST(HfTokenizer, SpecialTokensAroundAndInside) {
  const Json config = {{"bos_token", "<s>"},
                       {"eos_token", {{"content", "</s>"}, {"lstrip", true}}}};
  const auto tokenizer = build_tokenizer(small_tokenizer(), config);
  EXPECT_EQ(tokenizer->bos_id(), 9);
  EXPECT_EQ(tokenizer->eos_id(), 10) << "the next free id";
  EXPECT_EQ(tokenizer->vocab_size(), 11);
  EXPECT_EQ(tokenizer->encode("a", true, true), (Ids{9, 0, 10}));
  EXPECT_EQ(tokenizer->encode("", true, true), (Ids{9, 10}));
  EXPECT_EQ(tokenizer->encode("a<s>b  </s> c", false, false), (Ids{0, 9, 1, 10, 4, 2}));
  EXPECT_EQ(tokenizer->decode({9, 7, 4, 0, 10}, true), "abcd a");
  EXPECT_EQ(tokenizer->decode({9, 7, 4, 0, 10}, false), "<s>abcd a</s>");
  EXPECT_THROW(tokenizer->decode({11}, true), RunError);
  EXPECT_THROW(tokenizer->decode({-1}, true), RunError);
  EXPECT_EQ(tokenizer->token_to_id("</s>"), 10);
  EXPECT_EQ(tokenizer->token_to_id("zz"), std::nullopt);
  EXPECT_EQ(tokenizer->id_to_token(8), "Ġa");
  EXPECT_EQ(tokenizer->id_to_token(99), std::nullopt);
}

TEST(HfTokenizer, WithoutBosAndEos) {
  const auto tokenizer = build_tokenizer(small_tokenizer());
  EXPECT_EQ(tokenizer->bos_id(), std::nullopt);
  EXPECT_EQ(tokenizer->encode("a", true, true), Ids{0});
}

TEST(HfTokenizer, ATokenThatIsBothIsWrittenTwice) {
  const Json both = {{"bos_token", "<s>"}, {"eos_token", {{"content", "<s>"}}}};
  const auto tokenizer = build_tokenizer(small_tokenizer(), both);
  EXPECT_EQ(tokenizer->bos_id(), 9);
  EXPECT_EQ(tokenizer->eos_id(), 9);
  EXPECT_EQ(tokenizer->encode("a", true, true), (Ids{9, 0, 9}));
  EXPECT_EQ(tokenizer->encode("a", true, false), (Ids{9, 0}));
  EXPECT_EQ(tokenizer->encode("a", false, true), (Ids{0, 9}));
  EXPECT_EQ(tokenizer->encode("", true, true), (Ids{9, 9}));
  Json whisper = small_tokenizer();
  whisper["post_processor"] = Json::parse(R"({"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "d", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                 {"SpecialToken": {"id": "<s>", "type_id": 0}}], "pair": [],
      "special_tokens": {"d": {"id": "d", "ids": [3], "tokens": ["d"]}, "<s>": {"id": "<s>", "ids": [9], "tokens": ["<s>"]}}})");
  EXPECT_EQ(build_tokenizer(whisper, both)->encode("a", true, true), (Ids{3, 0, 9}))
      << "the original asks only whether the post-processor writes the token";
}

TEST(HfTokenizer, ThePostProcessorsBosIsNotDoubled) {
  Json json = small_tokenizer();
  json["post_processor"] = Json::parse(R"({"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [9], "tokens": ["<s>"]}}})");
  const auto tokenizer = build_tokenizer(json, Json{{"bos_token", "<s>"}, {"eos_token", "</s>"}});
  EXPECT_EQ(tokenizer->encode("a", true, true), (Ids{9, 0, 10}));
  EXPECT_EQ(tokenizer->encode("a", false, false), (Ids{9, 0}));
}

TEST(HfTokenizer, ConfigIdsDoNotCount) {
  const Json config = Json::parse(R"({"eos_token": "<e>", "pad_token": null,
      "added_tokens_decoder": {"128001": {"content": "<p>"}, "3": {"content": "<e>"}}})");
  const auto tokenizer = build_tokenizer(small_tokenizer(), config);
  EXPECT_EQ(tokenizer->token_to_id("<e>"), 10);
  EXPECT_EQ(tokenizer->token_to_id("<p>"), 11);
}

TEST(HfTokenizer, ShippedTokenizerGivesTextBack) {
  const auto tokenizer =
      build_hf_tokenizer(base::posix_file_system(), TITAN_SOURCE_DIR "/tests/assets/tokenizer");
  EXPECT_EQ(tokenizer->bos_id(), 2046);
  EXPECT_EQ(tokenizer->eos_id(), 2047);
  EXPECT_EQ(tokenizer->vocab_size(), 2048);
  EXPECT_EQ(tokenizer->encode("", true, true), (Ids{2046, 2047}));
  const std::string text = "The vast cabin was\n\n  naïve — 漢字 🤖 12345, isn't it?\t";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, true, true), true), text);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\xff\xc3(", true, true), true), "a\uFFFD\uFFFD(");
}

TEST(HfTokenizer, LongLinesTakeLinearTime) {
  const auto tokenizer =
      build_hf_tokenizer(base::posix_file_system(), TITAN_SOURCE_DIR "/tests/assets/tokenizer");
  std::string word = "the";
  while (word.size() < 1 << 20) word += word;
  for (const std::string& text : {word, std::string(1 << 20, ' '), std::string(1 << 20, '\n') + "x",
                                  std::string(1 << 20, '<'), std::string(1 << 20, '\xff')}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_GT(tokenizer->encode(text, true, true).size(), 2u);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60))
        << "quadratic time takes hours";
  }
}

TEST(HfTokenizer, ManyThreadsGetTheSameIds) {
  const auto tokenizer =
      build_hf_tokenizer(base::posix_file_system(), TITAN_SOURCE_DIR "/tests/assets/tokenizer");
  const std::string text =
      "That crooked engine danced perhaps! The golden paddle around Ingrid 123 <|end_of_text|>";
  const Ids expected = tokenizer->encode(text, true, true);
  std::vector<int> differences(4, 0);
  std::vector<std::thread> threads;
  for (int& count : differences) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) count += tokenizer->encode(text, true, true) != expected;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(differences, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace titan::text
