#include "titan/components/generate/decode_continuation.h"

#include <gtest/gtest.h>

#include "unit/text/tokenizer/tokenizer_json.h"

namespace titan::components {
namespace {

using test::Json;

// Words with the decoder; "<s>" (9) is special.
std::string continued(const Json& decoder, const std::vector<std::string>& words,
                      std::size_t prompt) {
  Json json = test::small_tokenizer();
  json["model"] = {{"type", "WordLevel"}, {"unk_token", "?"}, {"vocab", Json::object()}};
  json["pre_tokenizer"] = nullptr;
  json["decoder"] = decoder;
  std::vector<std::int64_t> ids;
  for (const std::string& word : words) {
    if (word != "<s>" && !json["model"]["vocab"].contains(word))
      json["model"]["vocab"][word] = json["model"]["vocab"].size() + 10;
    ids.push_back(word == "<s>" ? 9 : json["model"]["vocab"][word].get<std::int64_t>());
  }
  json["model"]["vocab"]["<s>"] = 9;
  const auto split = ids.begin() + static_cast<std::ptrdiff_t>(prompt);
  return decode_continuation(*test::build_tokenizer(json), {ids.begin(), split},
                             {split, ids.end()});
}

const Json kMetaspace = {{"type", "Metaspace"}, {"replacement", "▁"}};

TEST(DecodeContinuation, TheBlankBetweenPromptAndContinuationStays) {
  EXPECT_EQ(continued(kMetaspace, {"<s>", "▁The", "▁weary", "▁fox"}, 2), " weary fox");
  EXPECT_EQ(continued(kMetaspace, {"▁The", "y"}, 1), "y");
  EXPECT_EQ(continued(kMetaspace, {"▁The", "<s>"}, 1), "");
  const Json strip = Json::parse(R"({"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
      {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})");
  EXPECT_EQ(continued(strip, {"<s>", "▁The", "▁weary"}, 2), " weary");
  EXPECT_EQ(continued(nullptr, {"The", "weary"}, 1), " weary") << "no decoder joins with blanks";
  const Json word_ends = {{"type", "BPEDecoder"}, {"suffix", "</w>"}};
  EXPECT_EQ(continued(word_ends, {"The</w>", "wear", "y</w>"}, 1), " weary")
      << "a blank that ends the prompt is dropped";
}

TEST(DecodeContinuation, WithoutAPromptTheTextBeginsThere) {
  EXPECT_EQ(continued(kMetaspace, {"<s>", "▁weary"}, 1), "weary");
  EXPECT_EQ(continued(kMetaspace, {"▁The"}, 1), "");
}

TEST(DecodeContinuation, ACharacterInTwoPartsIsTheContinuations) {
  const Json bytes = {{"type", "ByteFallback"}};
  EXPECT_EQ(continued(bytes, {"a", "<0xE2>", "<0x82>", "<0xAC>", "!"}, 3), "€!");
  // "é" and "è" begin with the same byte.
  EXPECT_EQ(continued({{"type", "ByteLevel"}}, {"a", "Ã", "©"}, 2), "é");
}

}  // namespace
}  // namespace titan::components
