#include "titan/text/data/tokenize_dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "unit/text/data/data_test_support.h"

namespace titan::text {
namespace {

using test::jsonl;
using test::message_of;
using test::write_file;

class TokenizeDataset : public ::testing::Test {
 protected:
  TokenizeDataset() {
    std::vector<std::string> texts;
    for (int i = 0; i < 300; ++i)
      texts.push_back(std::string(i % 17, static_cast<char>('a' + i % 26)));
    write_file(folder_ / "data.jsonl", jsonl(texts));
    options_.data.path = folder_ / "data.jsonl";
    options_.output = folder_ / "out/tokens";
    options_.tokenizer_id = "bytes";
    options_.part_bytes = 1;  // a part per chunk
    options_.threads = 3;
  }
  TokenizeProgress run(base::FileSystem& files = base::posix_file_system()) {
    return tokenize_dataset(options_, tokenizer_, files);
  }
  std::string read(const std::string& name) {
    return base::read_whole_file(base::posix_file_system(), folder_ / name, 1 << 30);
  }
  std::vector<std::string> left_in_output() {
    return base::posix_file_system().list_directory(folder_ / "out");
  }

  test::TemporaryFolder folder_;
  test::ByteTokenizer tokenizer_;
  TokenizeOptions options_;
};

template <class Number>
Number number_at(const std::string& bytes, std::size_t offset) {
  Number number = 0;
  std::memcpy(&number, bytes.data() + offset, sizeof(number));
  return number;
}

TEST_F(TokenizeDataset, WritesWhatMegatronReads) {
  write_file(folder_ / "data.jsonl", jsonl({"ab", "", "c"}));
  const TokenizeProgress result = run();
  EXPECT_EQ(result.documents, 3);
  EXPECT_EQ(result.tokens, 9);
  EXPECT_EQ(result.text_bytes, 3);
  const std::string bin = read("out/tokens.bin");
  std::vector<int> ids;
  for (std::size_t at = 0; at < bin.size(); at += 2)
    ids.push_back(number_at<std::uint16_t>(bin, at));
  EXPECT_EQ(ids, (std::vector<int>{256, 'a', 'b', 257, 256, 257, 256, 'c', 257}));
  const std::string idx = read("out/tokens.idx");
  ASSERT_EQ(idx.size(), 9 + 8 + 1 + 8 + 8 + 3 * 4 + 3 * 8 + 4 * 8);
  EXPECT_EQ(idx.substr(0, 9), std::string("MMIDIDX\0\0", 9));
  EXPECT_EQ(number_at<std::uint64_t>(idx, 9), 1u) << "version";
  EXPECT_EQ(idx[17], 8) << "uint16";
  EXPECT_EQ(number_at<std::uint64_t>(idx, 18), 3u) << "sequences";
  EXPECT_EQ(number_at<std::uint64_t>(idx, 26), 4u) << "document ends";
  const std::size_t lengths = 34;
  const std::size_t offsets = lengths + 12;
  const std::size_t documents = offsets + 24;
  for (const auto& [i, length, offset] : {std::tuple{0, 4, 0}, {1, 2, 8}, {2, 3, 12}}) {
    EXPECT_EQ(number_at<std::int32_t>(idx, lengths + 4 * i), length);
    EXPECT_EQ(number_at<std::int64_t>(idx, offsets + 8 * i), offset);
    EXPECT_EQ(number_at<std::int64_t>(idx, documents + 8 * i), i);
  }
  EXPECT_EQ(number_at<std::int64_t>(idx, documents + 24), 3);
}

TEST_F(TokenizeDataset, SaysHowFarItIs) {
  write_file(folder_ / "data.jsonl",
             jsonl(std::vector<std::string>(40, std::string(100'000, 'x'))));
  options_.threads = 1;
  std::vector<double> fractions;
  options_.on_progress = [&](const TokenizeProgress& now) { fractions.push_back(now.fraction); };
  run();
  ASSERT_GE(fractions.size(), 3u);
  EXPECT_TRUE(std::is_sorted(fractions.begin(), fractions.end()));
  EXPECT_GT(fractions.front(), 0.1);
  EXPECT_LT(fractions.front(), 0.5);
  EXPECT_EQ(fractions.back(), 1);
}

TEST_F(TokenizeDataset, LeavesNothingElseBehind) {
  run();
  EXPECT_EQ(left_in_output(), (std::vector<std::string>{"tokens.bin", "tokens.idx"}));
}

TEST_F(TokenizeDataset, TheNumberOfThreadsDoesNotShow) {
  run();
  options_.threads = 1;
  options_.part_bytes = 64 << 20;
  options_.output = folder_ / "out/again";
  run();
  EXPECT_EQ(read("out/tokens.bin"), read("out/again.bin"));
  EXPECT_EQ(read("out/tokens.idx"), read("out/again.idx"));
}

TEST_F(TokenizeDataset, GoesOnWhereverItWasInterrupted) {
  // 4 MB of text are several chunks, and so several parts.
  write_file(folder_ / "data.jsonl",
             jsonl(std::vector<std::string>(40, std::string(100'000, 'x'))));
  options_.threads = 1;
  run();
  const std::string bin = read("out/tokens.bin");
  const std::string idx = read("out/tokens.idx");
  int interruptions = 0;
  for (int call = 1;; ++call) {
    std::filesystem::remove_all(folder_ / "out");
    test::FaultyFileSystem broken;
    broken.fail_call(call, EIO, 1'000'000);
    bool failed = false;
    try {
      run(broken);
    } catch (const RunError&) {
      failed = true;
    }
    if (!failed) break;
    ++interruptions;
    run();
    ASSERT_EQ(read("out/tokens.bin"), bin) << "after a failure at call " << call;
    ASSERT_EQ(read("out/tokens.idx"), idx) << "after a failure at call " << call;
    if (call > 20) call += 9;
  }
  EXPECT_GT(interruptions, 10);
}

TEST_F(TokenizeDataset, PartsOfAnotherTokenizerAreNotContinued) {
  test::FaultyFileSystem broken;
  write_file(folder_ / "data.jsonl",
             jsonl(std::vector<std::string>(400, std::string(10'000, 'x'))));
  options_.threads = 1;
  run();
  std::filesystem::rename(folder_ / "out/tokens.bin", folder_ / "kept");
  std::filesystem::remove(folder_ / "out/tokens.idx");
  write_file(folder_ / "out/tokens.part-0", "{\"identity\": 1}\n");
  EXPECT_NE(message_of<RunError>([&] { run(); }).find("part-0' is damaged"), std::string::npos);
}

TEST_F(TokenizeDataset, ADamagedPartIsNotTakenUp) {
  write_file(folder_ / "data.jsonl",
             jsonl(std::vector<std::string>(40, std::string(100'000, 'x'))));
  options_.threads = 1;
  test::FaultyFileSystem broken;
  broken.leave_space(3'000'000);
  EXPECT_THROW(run(broken), RunError);
  const std::string part = folder_ / "out/tokens.part-0";
  ASSERT_TRUE(std::filesystem::exists(part));
  std::string bytes = read("out/tokens.part-0");
  bytes[bytes.size() / 2] ^= 1;
  write_file(part, bytes);
  EXPECT_NE(message_of<RunError>([&] { run(); }).find("part-0' is damaged"), std::string::npos);
}

TEST_F(TokenizeDataset, DoesNotShuffle) {
  run();
  options_.data.data.shuffle = true;
  options_.output = folder_ / "out/shuffled";
  run();
  EXPECT_EQ(read("out/shuffled.bin"), read("out/tokens.bin"));
}

TEST_F(TokenizeDataset, NoDocumentsAreNoOutput) {
  write_file(folder_ / "data.jsonl", "{]\n");
  options_.data.data.on_bad_row = config::OnBadRow::kSkip;
  EXPECT_NE(message_of<RunError>([&] { run(); }).find("there is no document"), std::string::npos);
  EXPECT_TRUE(left_in_output().empty());
}

TEST_F(TokenizeDataset, RefusesToOverwriteAndWhatItCannotWrite) {
  run();
  EXPECT_NE(message_of<RunError>([&] { run(); }).find("tokens.bin' is there already"),
            std::string::npos);
  options_.output = folder_ / "out/";
  EXPECT_NE(message_of<ConfigError>([&] { run(); }).find("must end in a name"), std::string::npos);
  options_.data.data.prompt_field = "prompt";
  EXPECT_NE(message_of<ConfigError>([&] { run(); }).find("data.prompt_field"), std::string::npos);
}

}  // namespace
}  // namespace titan::text
