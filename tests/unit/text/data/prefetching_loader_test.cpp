#include "text/data/prefetching_loader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

using protocols::Batch;
using protocols::DataPosition;

// Batches of one number: 0, 1, 2, ... up to `end`, then the end or an error.
class Counter final : public protocols::DataLoader {
 public:
  Counter(std::int64_t end, bool fails) : end_(end), fails_(fails) {}

  bool next(Batch& batch) override {
    if (next_ == end_ && fails_) throw RunError("row 7 is bad");
    if (next_ == end_) return false;
    if (batch.input.capacity() == 0) ++new_buffers;
    batch.rows = batch.seq_len = 1;
    batch.input.assign(1, next_++);
    batch.labels = batch.input;
    return true;
  }
  DataPosition position() const override { return at(next_); }
  void restart() override { next_ = 0; }
  void restore(const std::vector<DataPosition>& ranks) override {
    next_ = ranks.front().streams.front().windows;
  }

  static DataPosition at(std::int64_t number) {
    DataPosition position;
    position.streams.emplace_back().windows = number;
    return position;
  }

  static inline std::atomic<int> new_buffers = 0;

 private:
  std::int64_t next_ = 0;
  std::int64_t end_;
  bool fails_;
};

PrefetchingLoader make(std::int64_t end, bool fails, std::size_t depth) {
  return PrefetchingLoader(std::make_unique<Counter>(end, fails), depth, {"numbers", 30});
}

TEST(PrefetchingLoader, KeepsTheOrderAndTheEnd) {
  auto loader = make(1000, false, 4);
  Batch batch;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(loader.next(batch));
    ASSERT_EQ(batch.input[0], i);
  }
  EXPECT_FALSE(loader.next(batch));
  EXPECT_EQ(batch.rows, 0);
  EXPECT_FALSE(loader.next(batch));
}

TEST(PrefetchingLoader, PositionIsThatOfTheLastConsumedBatch) {
  auto loader = make(1000, false, 8);
  EXPECT_EQ(loader.position().streams[0].windows, 0);
  Batch batch;
  for (int i = 1; i <= 20; ++i) {
    ASSERT_TRUE(loader.next(batch));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(loader.position().streams[0].windows, i);
  }
}

TEST(PrefetchingLoader, BuffersGoRound) {
  Counter::new_buffers = 0;
  auto loader = make(1'000'000, false, 3);
  Batch batch;
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(loader.next(batch));
  EXPECT_LE(Counter::new_buffers, 5);
}

TEST(PrefetchingLoader, AnErrorComesAfterTheBatchesBeforeIt) {
  auto loader = make(3, true, 10);
  Batch batch;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(loader.next(batch));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(test::message_of<RunError>([&] { loader.next(batch); }), "row 7 is bad");
  }
  EXPECT_EQ(loader.position().streams[0].windows, 3);
  loader.restore({Counter::at(1)});
  ASSERT_TRUE(loader.next(batch));
  EXPECT_EQ(batch.input[0], 1);
}

TEST(PrefetchingLoader, RestoreWorksAtAnyTime) {
  auto loader = make(100'000, false, 5);
  Batch batch;
  for (std::int64_t start = 0; start < 200; ++start) {
    loader.restore({Counter::at(start * 3)});
    EXPECT_EQ(loader.position().streams[0].windows, start * 3);
    for (std::int64_t i = 0; i < start % 4; ++i) {
      ASSERT_TRUE(loader.next(batch));
      ASSERT_EQ(batch.input[0], start * 3 + i);
    }
  }
}

TEST(PrefetchingLoader, EndsWithAFullQueue) {
  for (int i = 0; i < 100; ++i) make(100'000, i % 2 == 0, 1 + i % 3);
}

}  // namespace
}  // namespace titan::text
