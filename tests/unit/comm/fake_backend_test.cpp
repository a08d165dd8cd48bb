#include "titan/comm/fake_backend.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <numeric>

#include "titan/base/errors.h"

namespace titan::comm {
namespace {

std::unique_ptr<ProcessGroup> group_of(std::int64_t size) {
  std::vector<std::int64_t> ranks(static_cast<std::size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return make_fake_backend(size)->make_group("world", ranks, {}, nullptr);
}

TEST(FakeBackend, EveryPeerHoldsWhatThisRankHolds) {
  const auto group = group_of(4);
  const at::Tensor output = at::full({4, 3}, -1.0);
  group->all_gather(output, at::arange(3).to(at::kFloat)).wait();
  EXPECT_TRUE(output[3].equal(at::arange(3).to(at::kFloat)));

  const at::Tensor part = at::full({2}, -1.0);
  group->reduce_scatter(part, at::arange(8).to(at::kFloat)).wait();
  EXPECT_TRUE(part.equal(at::arange(2).to(at::kFloat)));

  const at::Tensor sum = at::full({2}, 3.0);
  group->all_reduce(sum).wait();
  group->barrier();
  EXPECT_EQ(sum[1].item<float>(), 3);
}

TEST(FakeBackend, IsAnyRank) {
  const auto group = make_fake_backend(4, 2)->make_group("row", {0, 2}, {}, nullptr);
  EXPECT_EQ(group->rank(), 1);
  const at::Tensor output = at::full({2, 3}, -1.0);
  group->all_gather(output, at::arange(3).to(at::kFloat)).wait();
  EXPECT_TRUE(output[0].equal(at::arange(3).to(at::kFloat)));
  EXPECT_TRUE(output[1].equal(at::arange(3).to(at::kFloat)));
  EXPECT_THROW(make_fake_backend(4, 2)->make_group("row", {0, 1}, {}, nullptr), InternalError);
}

TEST(FakeBackend, AllToAllFillsWhateverRowsAreExpected) {
  const auto group = group_of(2);
  const at::Tensor output = at::full({5}, -1.0);
  group->all_to_all(output, at::arange(2).to(at::kFloat), {2, 3}, {1, 1}).wait();
  EXPECT_TRUE(output.eq(at::arange(5).remainder(2)).all().item<bool>());
  group->all_to_all(output, at::empty({0}), {2, 3}, {0, 0}).wait();
  EXPECT_TRUE(output.eq(0).all().item<bool>());
}

TEST(FakeBackend, ReceivesZeros) {
  const auto group = group_of(2);
  const at::Tensor message = at::full({2}, -1.0);
  group->send(message, 1).wait();
  group->receive(message, 1).wait();
  EXPECT_EQ(message[0].item<float>(), 0);
  const at::Tensor sent = at::full({2}, 3.0);
  message.fill_(-1);
  group
      ->exchange({{sent, 1, Message::Direction::kSend}, {message, 1, Message::Direction::kReceive}})
      .wait();
  EXPECT_EQ(sent[1].item<float>(), 3);
  EXPECT_EQ(message[1].item<float>(), 0);
}

TEST(FakeBackend, ManyRanksCostNoMemoryOnMeta) {
  const auto group = group_of(16384);
  const auto meta = at::TensorOptions().device(at::kMeta).dtype(at::kBFloat16);
  group->all_gather(at::empty({16384, 1 << 24}, meta), at::empty({1 << 24}, meta)).wait();
  group->reduce_scatter(at::empty({1 << 24}, meta), at::empty({16384, 1 << 24}, meta)).wait();
}

TEST(FakeBackend, OnlyRankZeroIsThere) {
  EXPECT_THROW(make_fake_backend(4)->make_group("row", {1, 2}, {}, nullptr), InternalError);
  EXPECT_THROW(make_fake_backend(4)->make_group("row", {0, 4}, {}, nullptr), InternalError);
}

}  // namespace
}  // namespace titan::comm
