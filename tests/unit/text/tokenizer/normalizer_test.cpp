// Cases one can follow by hand; tests/python/tokenizer_families_test.py compares every character.

#include "text/tokenizer/normalizer.h"

#include <gtest/gtest.h>

#include <chrono>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

std::string normalized(const std::string& json, std::string_view text) {
  const Json document = Json::parse(json);
  const std::string file = "f";
  Normalizer::Workspace workspace;
  return std::string(Normalizer(JsonPlace(document, file)).apply(text, workspace));
}

TEST(Normalizer, Forms) {
  const std::string text = "e\u0323\u0301 \u00e9\ufb01\uac00\u11a8 \u212b";
  EXPECT_EQ(normalized(R"({"type": "NFC"})", text), "\u1eb9\u0301 \u00e9\ufb01\uac01 \u00c5");
  EXPECT_EQ(normalized(R"({"type": "NFD"})", text),
            "e\u0323\u0301 e\u0301\ufb01\u1100\u1161\u11a8 A\u030a");
  EXPECT_EQ(normalized(R"({"type": "NFKC"})", text), "\u1eb9\u0301 \u00e9fi\uac01 \u00c5");
  EXPECT_EQ(normalized(R"({"type": "NFC"})", "a\u0301\u0323"), "\u1ea1\u0301") << "reordered";
}

TEST(Normalizer, CharactersSinceUnicode12StayAsTheyAre) {
  EXPECT_EQ(normalized(R"({"type": "NFKC"})", "\u32ff\U0001fbf3"), "\u32ff\U0001fbf3");
  EXPECT_EQ(normalized(R"({"type": "NFC"})", "\U00011935\U00011930"), "\U00011935\U00011930");
  EXPECT_EQ(normalized(R"({"type": "NFD"})", "a\u0301\u07fd"), "a\u0301\u07fd")
      << "no reordering around a mark it does not know";
}

TEST(Normalizer, StepsInTurn) {
  const std::string steps = R"({"type": "Sequence", "normalizers": [
      {"type": "Strip", "strip_left": true, "strip_right": true}, {"type": "Lowercase"},
      {"type": "Prepend", "prepend": "_"}, {"type": "Replace", "pattern": {"String": " "}, "content": "_"},
      {"type": "Replace", "pattern": {"Regex": "\\d+"}, "content": "#"}]})";
  EXPECT_EQ(normalized(steps, " A\u0130 12\u00a0"), "_ai\u0307_#");
  EXPECT_EQ(normalized(steps, "  "), "");
}

TEST(Normalizer, EndlessGrowthIsAnError) {
  std::string steps = R"({"type": "Sequence", "normalizers": [)";
  for (int i = 0; i < 60; ++i)
    steps += std::string(i > 0 ? "," : "") +
             R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})";
  EXPECT_NE(
      test::message_of<RunError>([&] { normalized(steps + "]}", "a"); }).find("out of a text of"),
      std::string::npos);
}

TEST(Normalizer, AMegabyteOfMarksTakesNoLongerThanSorting) {
  std::string text = "a";
  for (int i = 0; i < 1 << 18; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(normalized(R"({"type": "NFD"})", text).size(), text.size());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

}  // namespace
}  // namespace titan::text
