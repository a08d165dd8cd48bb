#include "comm/scratch_pool.h"

#include <gtest/gtest.h>

namespace titan::comm {
namespace {

TEST(ScratchPool, LendsTheSameMemoryAgain) {
  const auto pool = std::make_shared<ScratchPool>();
  const void* first = pool->lend(1000, at::kFloat)->const_data_ptr();
  const auto again = pool->lend(2000, at::kBFloat16);
  EXPECT_EQ(again->const_data_ptr(), first);
  EXPECT_EQ(again->numel(), 2000);
  EXPECT_EQ(again->scalar_type(), at::kBFloat16);
  EXPECT_NE(pool->lend(1, at::kByte)->const_data_ptr(), first) << "lent twice";
}

TEST(ScratchPool, GrowsToTheLargestRequestAndKeepsFew) {
  const auto pool = std::make_shared<ScratchPool>();
  const void* large = pool->lend(1 << 20, at::kFloat)->const_data_ptr();
  for (const std::int64_t count : {10, 1000, 1 << 18}) {
    EXPECT_EQ(pool->lend(count, at::kFloat)->const_data_ptr(), large);
  }
}

TEST(ScratchPool, MemoryMayComeBackWhenThePoolIsGone) {
  auto pool = std::make_shared<ScratchPool>();
  const auto lent = pool->lend(3, at::kLong);
  pool.reset();
  lent->mutable_data_ptr<std::int64_t>()[2] = 1;
}

}  // namespace
}  // namespace titan::comm
