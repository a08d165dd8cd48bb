// tests/python/tokenizer_families_test.py compares such a file with the rule of the package.

#include "text/tokenizer/tiktoken_file.h"

#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "text/tokenizer/base64.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/text/tokenizer/tokenizer.h"
#include "unit/text/data/data_test_support.h"

namespace titan::text {
namespace {

using Ids = std::vector<std::int64_t>;

// a b c d, blank, then aa (5), ab (6), aab (7), aaa (8).
constexpr const char* kRanks =
    "YQ== 0\nYg== 1\nYw== 2\nZA== 3\nIA== 4\nYWE= 5\nYWI= 6\nYWFi 7\r\n\nYWFh 8\n";

TEST(Base64, Decodes) {
  EXPECT_EQ(decode_base64("YWFi"), "aab");
  EXPECT_EQ(decode_base64("YWE="), "aa");
  EXPECT_EQ(decode_base64("YWE"), "aa");
  EXPECT_EQ(decode_base64("/+8="), "\xff\xef");
  EXPECT_EQ(decode_base64(""), "");
  for (const char* text : {"Y", "YW E=", "YWE=YWE=", "===", "Y-E="})
    EXPECT_EQ(decode_base64(text), std::nullopt) << text;
}

TEST(TiktokenFile, IsToldFromSentencePiece) {
  EXPECT_TRUE(is_tiktoken_file(kRanks));
  for (const char* bytes :
       {"", "\n\x0e\n\x05<unk>", "a b c", "YQ== x", "YQ==0", "version https://git-lfs\n"})
    EXPECT_FALSE(is_tiktoken_file(bytes)) << bytes;
}

TEST(TiktokenFile, LowestRankMergesAndTheLeftmostOfEquals) {
  test::TemporaryFolder folder;
  test::write_file(folder / "tokenizer.model", kRanks);
  const auto tokenizer = build_hf_tokenizer(base::posix_file_system(), folder.path());
  EXPECT_EQ(tokenizer->encode("aab", false, false), Ids{7}) << "a whole word";
  EXPECT_EQ(tokenizer->encode("daab", false, false), (Ids{3, 7}));
  EXPECT_EQ(tokenizer->encode("aaaab", false, false), (Ids{5, 7})) << "aa aa b, then aa aab";
  EXPECT_EQ(tokenizer->encode("aaaaa", false, false), (Ids{5, 8})) << "aa aa a, then aa aaa";
  EXPECT_EQ(tokenizer->vocab_size(), 9 + 256);
  EXPECT_EQ(tokenizer->bos_id(), 9);
  EXPECT_EQ(tokenizer->eos_id(), 10);
  EXPECT_EQ(tokenizer->token_to_id("<|eot_id|>"), 9 + 9);
  EXPECT_EQ(tokenizer->token_to_id("<|python_tag|>"), 9 + 10);
  EXPECT_EQ(tokenizer->token_to_id("<|reserved_special_token_2|>"), 9 + 5);
  EXPECT_EQ(tokenizer->token_to_id("<|reserved_special_token_247|>"), 9 + 255);
  EXPECT_EQ(tokenizer->encode("a<|eot_id|>b", true, true), (Ids{9, 0, 18, 1, 10}));
  EXPECT_EQ(tokenizer->decode({9, 7, 4, 1, 18}, true), "aab b");
  test::write_file(folder / "tokenizer_config.json", R"({"eos_token": "<|eot_id|>"})");
  EXPECT_EQ(build_hf_tokenizer(base::posix_file_system(), folder.path())->eos_id(), 18);
}

TEST(TiktokenFile, ErrorsNameTheLine) {
  const auto error = [](const std::string& bytes) {
    return test::message_of<RunError>([&] { parse_tiktoken_file(bytes, "t.model"); });
  };
  EXPECT_EQ(error("YQ== 0\nYg== x\n"), "a line must be a token in base64 and its rank (t.model:2)");
  EXPECT_EQ(error("YQ== 99999999\n"), "the rank is not below 4194304 (t.model:1)");
  EXPECT_NE(error("YQ== -1\n").find("(t.model:1)"), std::string::npos);
  std::string many;
  for (int i = 0; i < 60'000; ++i) many += "YQ== 0\n";
  EXPECT_EQ(error(many).find("not available in this build yet: tiktoken ranks of 60000 tokens, "
                             "other than Llama 3's 128000"),
            0u);
}

}  // namespace
}  // namespace titan::text
