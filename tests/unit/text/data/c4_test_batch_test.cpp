// The first batch of the shipped text, as the Python original made it (tests/parity).

#include <gtest/gtest.h>

#include <string_view>

#include "titan/base/file_system.h"
#include "titan/base/sha256.h"
#include "titan/text/data/text_dataset.h"
#include "titan/text/tokenizer/tokenizer.h"

namespace titan::text {
namespace {

std::string digest(const std::vector<std::int64_t>& ids) {
  return base::sha256_hex({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(ids[0])});
}

TEST(C4TestBatch, EqualsTheReference) {
  auto& files = base::posix_file_system();
  const auto tokenizer = build_hf_tokenizer(files, TITAN_SOURCE_DIR "/tests/assets/tokenizer");
  for (const std::size_t prefetch : {0, 3}) {
    TextDataOptions options;
    options.dataset = "C4_Test";
    options.path = TITAN_SOURCE_DIR "/tests/assets/c4_test";
    options.batch_size = 4;
    options.seq_len = 256;
    options.prefetch_batches = prefetch;
    const auto loader = build_text_dataloader(options, *tokenizer, files);
    protocols::Batch batch;
    ASSERT_TRUE(loader->next(batch));
    EXPECT_EQ(batch.rows, 4);
    EXPECT_EQ(batch.seq_len, 256);
    EXPECT_EQ(digest(batch.input),
              "2ec914e17446943a40c946b97502cd4f8295ea2d6eb0e1ee4617addad5575fe6");
    EXPECT_EQ(digest(batch.labels),
              "d08d2ecf46150a5d5c4b90a27c3e63a67dd75215dbad07a79f18d13990b4505a");
  }
}

}  // namespace
}  // namespace titan::text
