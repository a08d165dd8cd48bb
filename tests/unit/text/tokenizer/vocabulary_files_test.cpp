#include "text/tokenizer/vocabulary_files.h"

#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "text/tokenizer/hf_tokenizer.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/text/tokenizer/tokenizer.h"
#include "unit/text/data/data_test_support.h"

namespace titan::text {
namespace {

using Ids = std::vector<std::int64_t>;

std::unique_ptr<HfTokenizer> load(const std::string& name, const std::string& vocabulary,
                                  const std::optional<std::string>& merges = std::nullopt) {
  std::optional<NamedBytes> named;
  if (merges) named = NamedBytes{"merges.txt", *merges};
  return std::make_unique<HfTokenizer>(parse_vocabulary_files({name, vocabulary}, named),
                                       TokenizerConfig{});
}

std::string error(const std::string& name, const std::string& vocabulary,
                  const std::optional<std::string>& merges = std::nullopt) {
  return test::message_of<RunError>([&] { load(name, vocabulary, merges); });
}

TEST(VocabularyFiles, BytePairsAsGpt2) {
  const auto tokenizer = load("vocab.json", R"({"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ġab": 4})",
                              "#version: 0.2\n\na b\r\nĠ ab and more\n");
  EXPECT_EQ(tokenizer->encode("ab ab b", false, false), (Ids{2, 4, 3, 1}));
  EXPECT_EQ(tokenizer->decode({2, 4, 3, 1}, false), "ab ab b");
}

TEST(VocabularyFiles, LinesOfATextFileAreIds) {
  const auto tokenizer = load("vocab.txt", "[UNK]\n\n a b \r\nc\rd");
  EXPECT_EQ(tokenizer->encode("a b", false, false), Ids{2});
  EXPECT_EQ(tokenizer->encode("a", false, false), Ids{0});
  EXPECT_EQ(tokenizer->token_to_id("d"), 4);
  EXPECT_EQ(tokenizer->vocab_size(), 5);
}

TEST(VocabularyFiles, WithoutAnUnknownTokenAnUnknownWordIsAnError) {
  const auto tokenizer = load("vocab.txt", "a\n");
  EXPECT_EQ(tokenizer->encode("a", false, false), Ids{0});
  EXPECT_EQ(test::message_of<RunError>([&] { tokenizer->encode("b", false, false); }),
            "the word 'b' is not in the vocabulary, nor is '[UNK]', which would stand for it");
}

TEST(VocabularyFiles, ErrorsNameFileAndPlace) {
  EXPECT_EQ(error("vocab.json", R"({"a": 0})", "a b\n"),
            "the merge of 'a' and 'b' needs the token 'b', which is not in the vocabulary "
            "(merges.txt: merge 1)");
  EXPECT_EQ(error("vocab.json", R"({"a": 0})", "\nab\n"),
            "a merge must be two tokens with a blank between (merges.txt:2)");
  EXPECT_EQ(error("vocab.txt", "a\n\xff\n"), "no UTF-8 (vocab.txt:2)");
  EXPECT_EQ(error("vocab.txt", "a\na\n"), "token 'a' comes twice (vocab.txt)");
  EXPECT_EQ(error("vocab.json", R"({"a": {}})"),
            "cannot read vocab.json: the id must be a whole number, not negative (/a)");
  EXPECT_EQ(error("vocab.json", "7"), "must be an object of tokens and their ids (vocab.json)");
}

TEST(VocabularyFiles, WordPiecesReadAsWordsAreSaid) {
  test::TemporaryFolder folder;
  const auto log_with = [&](const std::string& vocabulary) {
    test::write_file(folder / "vocab.txt", vocabulary);
    testing::internal::CaptureStdout();
    build_hf_tokenizer(base::posix_file_system(), folder.path());
    return testing::internal::GetCapturedStdout();
  };
  const std::string warning = "looks like the vocabulary of a WordPiece model (BERT)";
  EXPECT_NE(log_with("[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n##s\n").find(warning), std::string::npos);
  EXPECT_NE(log_with("the\n##s\n##ing\n").find(warning), std::string::npos);
  EXPECT_EQ(log_with("[UNK]\nthe\n##\n").find(warning), std::string::npos);
}

TEST(VocabularyFiles, TokenizerJsonComesFirstThenVocabJson) {
  test::TemporaryFolder folder;
  const auto vocab_size = [&] {
    return build_hf_tokenizer(base::posix_file_system(), folder.path())->vocab_size();
  };
  test::write_file(folder / "vocab.txt", "a\nb\nc\n");
  EXPECT_EQ(vocab_size(), 3);
  test::write_file(folder / "vocab.json", R"({"a": 0, "b": 1})");
  EXPECT_EQ(vocab_size(), 2);
  test::write_file(folder / "tokenizer.json",
                   R"({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}})");
  EXPECT_EQ(vocab_size(), 1);
}

}  // namespace
}  // namespace titan::text
