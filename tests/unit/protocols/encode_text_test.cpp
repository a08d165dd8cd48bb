#include "titan/protocols/encode_text.h"

#include <gtest/gtest.h>

#include "unit/text/tokenizer/tokenizer_json.h"

namespace titan::protocols {
namespace {

using test::build_tokenizer;
using test::Json;
using test::small_tokenizer;
using Ids = std::vector<std::int64_t>;

// `before` and `after` are "<s>" (9), "</s>" (10) or nothing.
Json with_template(const char* before, const char* after) {
  Json json = small_tokenizer();
  Json single = Json::array();
  const auto add = [&](const char* token) {
    if (*token != '\0') single.push_back({{"SpecialToken", {{"id", token}, {"type_id", 0}}}});
  };
  add(before);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  add(after);
  json["post_processor"] = {
      {"type", "TemplateProcessing"}, {"single", single}, {"pair", Json::array()}};
  for (const auto& [token, id] : {std::pair("<s>", 9), std::pair("</s>", 10)})
    json["post_processor"]["special_tokens"][token] = {
        {"id", token}, {"ids", {id}}, {"tokens", {token}}};
  return json;
}

TEST(EncodeText, PiecesOfADocumentHaveTheirEndsOnly) {
  const Json config = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  for (const auto& [before, after] :
       {std::pair("", ""), std::pair("<s>", ""), std::pair("", "</s>"), std::pair("<s>", "</s>")}) {
    const auto tokenizer = build_tokenizer(with_template(before, after), config);
    EXPECT_EQ(encode_text(*tokenizer, "a", true, true), (Ids{9, 0, 10})) << before << after;
    EXPECT_EQ(encode_text(*tokenizer, "a", true, false), (Ids{9, 0})) << before << after;
    EXPECT_EQ(encode_text(*tokenizer, "a", false, true), (Ids{0, 10})) << before << after;
    EXPECT_EQ(encode_text(*tokenizer, "a", false, false), Ids{0}) << before << after;
    EXPECT_EQ(encode_text(*tokenizer, "", true, false), Ids{9}) << before << after;
  }
}

TEST(EncodeText, SpecialTokensInTheTextItselfStay) {
  const Json config = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  EXPECT_EQ(encode_text(*build_tokenizer(with_template("", ""), config), "a</s>", true, false),
            (Ids{9, 0, 10}));
  EXPECT_EQ(encode_text(*build_tokenizer(with_template("", ""), config), "<s>a", false, true),
            (Ids{9, 0, 10}));
  EXPECT_EQ(
      encode_text(*build_tokenizer(with_template("<s>", "</s>"), config), "<s>a</s>", false, false),
      (Ids{9, 0, 10}));
}

TEST(EncodeText, OneTokenThatIsBoth) {
  const Json config = {{"bos_token", "<s>"}, {"eos_token", "<s>"}};
  const auto plain = build_tokenizer(with_template("", ""), config);
  EXPECT_EQ(encode_text(*plain, "", true, false), Ids{9});
  EXPECT_EQ(encode_text(*plain, "", false, false), Ids{});
  EXPECT_EQ(encode_text(*plain, "a", true, false), (Ids{9, 0}));
  EXPECT_EQ(encode_text(*plain, "a<s>", true, false), (Ids{9, 0, 9}));
  const auto in_front = build_tokenizer(with_template("<s>", ""), config);
  EXPECT_EQ(encode_text(*in_front, "", true, false), Ids{9});
  EXPECT_EQ(encode_text(*in_front, "a", true, false), (Ids{9, 0}));
  EXPECT_EQ(encode_text(*in_front, "a", false, false), Ids{0});
}

}  // namespace
}  // namespace titan::protocols
