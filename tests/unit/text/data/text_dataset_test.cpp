#include "titan/text/data/text_dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>

#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "unit/text/data/data_test_support.h"

namespace titan::text {
namespace {

using protocols::Batch;
using protocols::DataLoader;
using protocols::DataPosition;
using test::ByteTokenizer;
using test::jsonl;
using test::message_of;
using test::write_file;
using Ids = std::vector<std::int64_t>;

// Runs with the batches made inside `next`, and with a thread that makes them ahead.
class TextDatasetTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  TextDatasetTest() {
    options_.batch_size = 2;
    options_.seq_len = 3;
    options_.infinite = false;
  }

  std::unique_ptr<DataLoader> build(const std::vector<std::string>& texts) {
    write_file(folder_ / "data.jsonl", jsonl(texts));
    return build();
  }
  std::unique_ptr<DataLoader> build() {
    return build_text_dataloader(options(), tokenizer_, base::posix_file_system());
  }
  std::string build_error() {
    return message_of<RunError>([&] { build(); });
  }

  TextDataOptions options() {
    TextDataOptions options = options_;
    if (!options.path) options.path = folder_.path();
    options.prefetch_batches = GetParam();
    return options;
  }

  // All windows of a loader as input plus last label, up to `most` batches.
  static std::vector<Ids> windows(DataLoader& loader, int most = 1000) {
    std::vector<Ids> all;
    Batch batch;
    while (most-- > 0 && loader.next(batch)) {
      for (std::int64_t row = 0; row < batch.rows; ++row) {
        const auto from = row * batch.seq_len;
        Ids window(batch.input.begin() + from, batch.input.begin() + from + batch.seq_len);
        EXPECT_TRUE(std::equal(window.begin() + 1, window.end(), batch.labels.begin() + from));
        window.push_back(batch.labels[from + batch.seq_len - 1]);
        all.push_back(window);
      }
    }
    return all;
  }

  test::TemporaryFolder folder_;
  ByteTokenizer tokenizer_;
  TextDataOptions options_;
};

INSTANTIATE_TEST_SUITE_P(Prefetch, TextDatasetTest, ::testing::Values(0, 1, 3));

TEST_P(TextDatasetTest, PacksWithoutOverlapAndDropsTheRestOfFiniteData) {
  const auto loader = build({"abc", "", "defg"});
  // 256 a b c | 257 256 257 256 | d e f g | 257
  Batch batch;
  ASSERT_TRUE(loader->next(batch));
  EXPECT_EQ(batch.rows, 2);
  EXPECT_EQ(batch.input, (Ids{256, 'a', 'b', 257, 256, 257}));
  EXPECT_EQ(batch.labels, (Ids{'a', 'b', 'c', 256, 257, 256}));
  ASSERT_TRUE(loader->next(batch));
  EXPECT_EQ(batch.rows, 1) << "the last batch of finite data is as long as the data";
  EXPECT_EQ(batch.input, (Ids{'d', 'e', 'f'}));
  EXPECT_EQ(batch.labels, (Ids{'e', 'f', 'g'}));
  EXPECT_FALSE(loader->next(batch));
  EXPECT_EQ(batch.rows, 0);
  EXPECT_FALSE(loader->next(batch));
}

TEST_P(TextDatasetTest, InfiniteDataCarriesTheRestIntoTheNextPass) {
  options_.infinite = true;
  const auto loader = build({"abc"});
  EXPECT_EQ(
      windows(*loader, 2),
      (std::vector<Ids>{
          {256, 'a', 'b', 'c'}, {257, 256, 'a', 'b'}, {'c', 257, 256, 'a'}, {'b', 'c', 257, 256}}));
  const protocols::StreamPosition stream = loader->position().streams.at(0);
  EXPECT_EQ(stream.pass, 3);
  EXPECT_EQ(stream.windows, 4);
  EXPECT_EQ(stream.leftover_tokens, (Ids{'a', 'b', 'c', 257}));
}

TEST_P(TextDatasetTest, BatchesMadeAheadHoldALongDocumentOnce) {
  const auto loader = build({std::string(5000, 'x')});
  Batch batch;
  ASSERT_TRUE(loader->next(batch));
  const DataPosition first = loader->position();
  EXPECT_EQ(first.streams.at(0).leftover_tokens.size(), 5002u - 8);
  for (int i = 2; i <= 50; ++i) {
    ASSERT_TRUE(loader->next(batch));
    const DataPosition position = loader->position();
    EXPECT_EQ(position.streams.at(0).leftover_tokens.size(), 5002u - 8 * i);
    EXPECT_EQ(position.streams.at(0).leftover_tokens.end(),
              first.streams.at(0).leftover_tokens.end())
        << "the tokens were copied for the position of batch " << i;
  }
}

TEST_P(TextDatasetTest, RanksShareTheRowsContiguously) {
  tokenizer_ = ByteTokenizer(/*has_specials=*/false);
  options_.seq_len = 1;
  options_.dp_world_size = 4;
  std::vector<std::string> joined;
  for (options_.dp_rank = 0; options_.dp_rank < 4; ++options_.dp_rank) {
    const auto loader = build({"aa", "bb", "cc", "dd", "ee", "ff"});
    std::string text;
    for (const Ids& window : windows(*loader)) text += static_cast<char>(window[0]);
    joined.push_back(text);
  }
  EXPECT_EQ(joined, (std::vector<std::string>{"ab", "cd", "e", "f"}));
}

TEST_P(TextDatasetTest, ContinuesAtEveryPosition) {
  std::vector<std::string> texts;
  for (int i = 0; i < 17; ++i) texts.push_back(std::string(i * 7 % 13, static_cast<char>('a' + i)));
  for (const std::int64_t world : {1, 3}) {
    for (const bool infinite : {false, true}) {
      options_.infinite = infinite;
      options_.dp_world_size = world;
      options_.dp_rank = world - 1;
      const auto whole = windows(*build(texts), 40);
      for (int consumed = 0; consumed < 25; ++consumed) {
        const auto first = build(texts);
        auto seen = windows(*first, consumed);
        const DataPosition position = first->position();
        const auto second = build(texts);
        Batch ignored;
        second->next(ignored);  // restoring works after the start
        // Of the other ranks only their number matters here.
        second->restore(std::vector(static_cast<std::size_t>(world), position));
        EXPECT_EQ(second->position(), position);
        const auto rest = windows(*second, 40 - consumed);
        seen.insert(seen.end(), rest.begin(), rest.end());
        ASSERT_EQ(seen, whole) << consumed << " batches before the restart, world " << world;
      }
    }
  }
}

TEST_P(TextDatasetTest, RefusesAPositionThatIsNone) {
  const auto loader = build({"abc", "d"});
  const DataPosition good = loader->position();
  const auto refuses = [&](auto spoil) {
    DataPosition bad = good;
    spoil(bad);
    return message_of<RunError>([&] { loader->restore({bad}); });
  };
  EXPECT_NE(refuses([](DataPosition& p) { p.streams.clear(); }).find("0 sources"),
            std::string::npos);
  EXPECT_NE(refuses([](DataPosition& p) { p.streams[0].data = "other data"; }).find("other data"),
            std::string::npos);
  for (const auto& spoil : std::vector<std::function<void(protocols::StreamPosition&)>>{
           [](auto& p) { p.pass = -1; }, [](auto& p) { p.left[0].begin = -1; },
           [](auto& p) { p.left[0].step = 0; }, [](auto& p) { p.left[0].skip = -1; },
           [](auto& p) { p.left[0].pass = 1; }, [](auto& p) { p.windows = -1; },
           [](auto& p) { p.leftover_tokens = {-1}; }, [](auto& p) { p.leftover_tokens = {258}; }}) {
    EXPECT_NE(refuses([&](DataPosition& p) { spoil(p.streams[0]); }).find("damaged position"),
              std::string::npos);
  }
}

TEST_P(TextDatasetTest, ReadsAFolderInOrderOfNames) {
  write_file(folder_ / "b.json", jsonl({"3"}));
  write_file(folder_ / "a.jsonl", jsonl({"1", "2"}));
  write_file(folder_ / "README.md", "no data");
  options_.seq_len = 8;
  EXPECT_EQ(windows(*build()), (std::vector<Ids>{{256, '1', 257, 256, '2', 257, 256, '3', 257}}));
}

TEST_P(TextDatasetTest, UnknownNames) {
  options_.dataset = "C5";
  EXPECT_EQ(
      message_of<ConfigError>([&] { build(); }),
      "Dataset c5 is not supported. Supported datasets are: ['c4', 'c4_test', 'c4_validation']");
}

TEST_P(TextDatasetTest, C4IsReadFromItsOwnShards) {
  options_.dataset = "c4";
  options_.path = "";
  EXPECT_EQ(message_of<ConfigError>([&] { build(); }),
            "the dataset c4 is read from a local folder of its .json.gz files: name it with "
            "dataset_path; scripts/download_c4.py fetches as many of them as you like");
  std::filesystem::create_directory(folder_ / "en");
  write_file(folder_ / "en/c4-train.00000-of-00001.json", jsonl({"t"}));
  write_file(folder_ / "en/c4-validation.00000-of-00001.json", jsonl({"v"}));
  options_.path = folder_.path();
  options_.seq_len = 2;
  EXPECT_EQ(windows(*build()), (std::vector<Ids>{{256, 't', 257}}));
  options_.dataset = "c4_validation";
  EXPECT_EQ(windows(*build()), (std::vector<Ids>{{256, 'v', 257}}));
  // A folder without shards of C4 is somebody's own data.
  std::filesystem::create_directory(folder_ / "own");
  write_file(folder_ / "own/x.jsonl", jsonl({"o"}));
  options_.path = folder_ / "own";
  EXPECT_EQ(windows(*build()), (std::vector<Ids>{{256, 'o', 257}}));
}

TEST_P(TextDatasetTest, NoData) {
  const std::string folder = folder_.path();
  EXPECT_NE(build_error().find("no data: there is no .jsonl, "), std::string::npos);
  write_file(folder_ / "data.jsonl", " \n\r\n");
  EXPECT_EQ(build_error(), "no data: there are no rows in '" + folder + "'");
  options_.path = folder_ / "gone";
  EXPECT_EQ(build_error(), "no data: '" + folder + "/gone' does not exist");
}

TEST_P(TextDatasetTest, MoreRanksThanRows) {
  write_file(folder_ / "data.jsonl", jsonl({"a", "b"}));
  options_.dp_world_size = 3;
  options_.dp_rank = 2;
  EXPECT_EQ(build_error(),
            "no data for data-parallel rank 2 of 3: " + folder_.path() + " has 2 rows");
}

TEST_P(TextDatasetTest, InfiniteDataWithoutTokensIsAnError) {
  tokenizer_ = ByteTokenizer(/*has_specials=*/false);
  options_.infinite = true;
  const auto loader = build({"", ""});
  Batch batch;
  EXPECT_NE(message_of<RunError>([&] { loader->next(batch); }).find("has no tokens"),
            std::string::npos);
}

TEST_P(TextDatasetTest, ABadRowComesOutOfTheBatchItBelongsTo) {
  write_file(folder_ / "data.jsonl", jsonl({"abcdefg", "hijklmn"}) + "{\"text\": 1}\n");
  const auto loader = build();
  Batch batch;
  ASSERT_TRUE(loader->next(batch));
  ASSERT_TRUE(loader->next(batch));
  EXPECT_EQ(message_of<RunError>([&] { loader->next(batch); }),
            folder_ / "data.jsonl" +
                ":3: 'text' must be a string, not a number. To skip such rows: data.on_bad_row = "
                "\"skip\"; up to data.max_bad_rows of them.");
}

TEST_P(TextDatasetTest, AReadErrorNamesTheFile) {
  options_.batch_size = 1000;
  write_file(folder_ / "data.jsonl", jsonl(std::vector<std::string>(100'000, "some text")));
  test::FaultyFileSystem files;
  files.fail_call(20, EIO, 1000);
  const auto loader = build_text_dataloader(options(), tokenizer_, files);
  const std::string message = message_of<RunError>([&] { windows(*loader); });
  EXPECT_NE(message.find("data.jsonl"), std::string::npos) << message;
}

TEST_P(TextDatasetTest, AVanishedFileIsAnErrorAtTheNextPass) {
  options_.infinite = true;
  write_file(folder_ / "a.jsonl", jsonl({std::string(100, 'a')}));
  write_file(folder_ / "b.jsonl", jsonl({std::string(100, 'b')}));
  const auto loader = build();
  std::filesystem::remove(folder_ / "a.jsonl");
  const std::string message = message_of<RunError>([&] { windows(*loader, 1000); });
  EXPECT_NE(message.find("a.jsonl"), std::string::npos) << message;
}

}  // namespace
}  // namespace titan::text
