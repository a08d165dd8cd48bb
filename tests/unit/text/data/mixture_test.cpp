#include <gtest/gtest.h>

#include <map>

#include "support/temporary_folder.h"
#include "titan/base/file_system.h"
#include "unit/text/data/data_test_support.h"

namespace titan::text {
namespace {

using protocols::Batch;
using protocols::DataPosition;
using test::jsonl;
using test::write_file;

class Mixture : public ::testing::Test {
 protected:
  Mixture() {
    for (const char name : {'a', 'b', 'c'}) {
      write_file(folder_ / (std::string(1, name) + ".jsonl"),
                 jsonl(std::vector<std::string>(30, std::string(9, name))));
    }
    options_.seq_len = 4;
    options_.batch_size = 3;
    options_.data.mixture = {{folder_ / "a.jsonl", 5, ""},
                             {folder_ / "b.jsonl", 3, "jsonl"},
                             {folder_ / "c.jsonl", 2, ""}};
  }
  std::unique_ptr<protocols::DataLoader> build() {
    return build_text_dataloader(options_, tokenizer_, base::posix_file_system());
  }

  test::TemporaryFolder folder_;
  test::ByteTokenizer tokenizer_{/*has_specials=*/false};
  TextDataOptions options_;
};

TEST_F(Mixture, SharesTheRowsByWeightFromTheFirstOn) {
  const auto loader = build();
  std::map<std::int64_t, int> rows;
  Batch batch;
  for (int i = 1; i <= 40; ++i) {
    ASSERT_TRUE(loader->next(batch));
    for (int row = 0; row < 3; ++row) {
      const std::int64_t letter = batch.input[row * 4];
      for (int k = 0; k < 4; ++k) EXPECT_EQ(batch.input[row * 4 + k], letter) << "one source a row";
      ++rows[letter];
    }
    EXPECT_NEAR(rows['a'], 3 * i * 0.5, 1);
    EXPECT_NEAR(rows['b'], 3 * i * 0.3, 1);
    EXPECT_NEAR(rows['c'], 3 * i * 0.2, 1);
  }
}

TEST_F(Mixture, ContinuesExactly) {
  options_.data.shuffle = true;
  const auto whole = build();
  std::vector<std::vector<std::int64_t>> batches;
  std::vector<DataPosition> positions;
  Batch batch;
  for (int i = 0; i < 60; ++i) {
    positions.push_back(whole->position());
    whole->next(batch);
    batches.push_back(batch.input);
  }
  for (std::size_t start = 0; start < batches.size(); start += 7) {
    const auto loader = build();
    loader->restore({positions[start]});
    for (std::size_t i = start; i < batches.size(); ++i) {
      ASSERT_TRUE(loader->next(batch));
      ASSERT_EQ(batch.input, batches[i]);
    }
  }
}

TEST_F(Mixture, ASourceWithoutWeightIsNotRead) {
  options_.data.mixture[1].weight = 0;
  const auto loader = build();
  Batch batch;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(loader->next(batch));
    for (int row = 0; row < 3; ++row) EXPECT_NE(batch.input[row * 4], 'b');
  }
}

}  // namespace
}  // namespace titan::text
