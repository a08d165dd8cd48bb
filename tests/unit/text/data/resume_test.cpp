// A run goes on with another number of ranks, to the token: all ranks before and after together are given every token of every pass
// once, from JSONL and compressed JSONL, shuffled or not.

#include <gtest/gtest.h>
#include <zlib.h>

#include <map>
#include <random>

#include "support/temporary_folder.h"
#include "titan/base/file_system.h"
#include "unit/text/data/data_test_support.h"

namespace titan::text {
namespace {

using protocols::Batch;
using protocols::DataLoader;
using protocols::DataPosition;
using test::jsonl;
using test::write_file;

constexpr int kTexts = 120;

/// Texts differ in their letters and lengths.
std::string text_of(int i) {
  std::string text;
  for (int k = 0; k < 5 + i % 7; ++k) {
    text += static_cast<char>('0' + i / 12);
    text += static_cast<char>('A' + i % 12);
  }
  return text;
}

void write_gz(const std::string& path, const std::string& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}

struct Story {
  const char* name;
  int files;
  bool is_compressed;
  bool is_shuffled;
  /// Each run has data.shuffle switched, or another seed.
  bool is_switched = false;
};

class Resume : public ::testing::TestWithParam<Story> {
 protected:
  Resume() {
    for (int file = 0; file < GetParam().files; ++file) {
      std::vector<std::string> texts;
      for (int i = file; i < kTexts; i += GetParam().files) texts.push_back(text_of(i));
      const std::string name = folder_ / (std::to_string(file) + ".jsonl");
      if (GetParam().is_compressed) {
        write_gz(name + ".gz", jsonl(texts));
      } else {
        write_file(name, jsonl(texts));
      }
    }
  }

  std::vector<std::unique_ptr<DataLoader>> ranks(std::int64_t count, bool infinite = true) {
    std::vector<std::unique_ptr<DataLoader>> all;
    TextDataOptions options;
    options.path = folder_.path();
    options.seq_len = 15;
    options.infinite = infinite;
    options.batch_size = 2;
    options.data.shuffle = GetParam().is_shuffled != (GetParam().is_switched && runs_ % 3 == 1);
    options.shuffle_seed = GetParam().is_switched ? static_cast<std::uint64_t>(runs_) : 9;
    ++runs_;
    options.dp_world_size = count;
    for (options.dp_rank = 0; options.dp_rank < count; ++options.dp_rank) {
      // The end of finite data is looked at without a thread that is ahead of the batches.
      options.prefetch_batches = infinite ? static_cast<std::size_t>(options.dp_rank % 2) : 0;
      all.push_back(build_text_dataloader(options, tokenizer_, base::posix_file_system()));
    }
    return all;
  }

  static std::vector<DataPosition> positions(
      const std::vector<std::unique_ptr<DataLoader>>& ranks) {
    std::vector<DataPosition> all;
    for (const auto& rank : ranks) all.push_back(rank->position());
    return all;
  }

  /// Adds the tokens of a batch, each once: the input, and the label behind its last token.
  static void count(const Batch& batch, std::map<std::int64_t, int>& tokens) {
    for (std::int64_t row = 0; row < batch.rows; ++row) {
      const auto from = static_cast<std::size_t>(row * batch.seq_len);
      for (std::size_t i = 0; i < static_cast<std::size_t>(batch.seq_len); ++i) {
        ++tokens[batch.input[from + i]];
      }
      ++tokens[batch.labels[from + static_cast<std::size_t>(batch.seq_len) - 1]];
    }
  }

  test::TemporaryFolder folder_;
  test::ByteTokenizer tokenizer_;
  int runs_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Data, Resume,
                         ::testing::Values(Story{"Plain", 3, false, false},
                                           Story{"PlainShuffled", 3, false, true},
                                           Story{"CompressedByFiles", 4, true, false},
                                           Story{"CompressedByRows", 3, true, false},
                                           Story{"CompressedShuffled", 4, true, true},
                                           Story{"PlainSwitched", 3, false, true, true},
                                           Story{"CompressedSwitched", 4, true, true, true}),
                         [](const auto& story) { return story.param.name; });

TEST_P(Resume, NoTokenIsRepeatedOrSkippedAtAnotherDegree) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 12; ++trial) {
    std::map<std::int64_t, int> consumed;
    std::vector<DataPosition> where;
    for (const std::int64_t size : {1, 4, 2, 4, 1, 2}) {
      const auto all = ranks(size);
      for (const auto& rank : all) {
        if (!where.empty()) rank->restore(where);
      }
      Batch batch;
      for (const auto& rank : all) {
        for (unsigned i = random() % 6; i > 0; --i) {
          ASSERT_TRUE(rank->next(batch));
          count(batch, consumed);
        }
      }
      where = positions(all);
    }
    // Three more ranks finish the pass that the furthest has begun, and stop.
    std::int64_t passes = 0;
    for (const DataPosition& rank : where) {
      passes = std::max(passes, rank.streams.at(0).pass + 1);
    }
    for (const auto& rank : ranks(3, /*infinite=*/false)) {
      rank->restore(where);
      for (Batch batch; rank->next(batch);) count(batch, consumed);
      const DataPosition end = rank->position();
      for (const std::int64_t token : end.streams[0].leftover_tokens) {
        ++consumed[token & 0xffffffff];
      }
    }
    std::map<std::int64_t, int> expected;
    for (int i = 0; i < kTexts; ++i) {
      for (const std::int64_t token : tokenizer_.encode(text_of(i), true, true)) {
        expected[token] += static_cast<int>(passes);
      }
    }
    ASSERT_EQ(consumed, expected) << "trial " << trial;
  }
}

TEST_P(Resume, TheSameDegreeGoesOnWithTheVeryNextBatch) {
  if (GetParam().is_switched) GTEST_SKIP() << "what comes behind this pass has another order";
  for (const std::int64_t size : {1, 2, 4}) {
    const auto whole = ranks(size);
    Batch batch;
    for (const auto& rank : whole) {
      for (int i = 0; i < 17; ++i) ASSERT_TRUE(rank->next(batch));
    }
    const auto resumed = ranks(size);
    for (const auto& rank : resumed) rank->restore(positions(whole));
    Batch again;
    for (std::size_t rank = 0; rank < whole.size(); ++rank) {
      for (int i = 0; i < 40; ++i) {
        ASSERT_TRUE(whole[rank]->next(batch));
        ASSERT_TRUE(resumed[rank]->next(again));
        ASSERT_EQ(batch.input, again.input) << "rank " << rank << " of " << size;
        ASSERT_EQ(batch.labels, again.labels);
        ASSERT_EQ(batch.document_starts, again.document_starts);
      }
    }
  }
}

}  // namespace
}  // namespace titan::text
