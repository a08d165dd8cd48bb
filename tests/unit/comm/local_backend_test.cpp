#include "titan/comm/local_backend.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/comm/groups.h"

namespace titan::comm {
namespace {

using std::chrono_literals::operator""s;
using testing::HasSubstr;

void on_each_rank(std::int64_t ranks, LocalWorld& world,
                  const std::function<void(std::int64_t, ProcessGroup&)>& body) {
  std::vector<std::thread> threads;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const auto backend = world.backend(rank);
      const Groups groups(*backend, {{}, ranks}, rank, 20s, nullptr);
      body(rank, groups.world());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(LocalBackend, SeveralCollectivesMayBeUnderWayAndAreWaitedForInAnyOrder) {
  LocalWorld world(3);
  on_each_rank(3, world, [](std::int64_t rank, ProcessGroup& group) {
    const at::Tensor gathered = at::empty({6});
    at::Tensor input = at::arange(2).to(at::kFloat) + 10.0 * static_cast<double>(rank);
    Work gather = group.all_gather(gathered, input);
    input.zero_();  // copied when the collective started
    const at::Tensor sum = at::arange(6).to(at::kFloat);
    const at::Tensor mine = at::empty({2});
    Work scatter = group.reduce_scatter(mine, sum);
    scatter.wait();
    gather.wait();
    EXPECT_TRUE(mine.equal(3 * at::arange(2 * rank, 2 * rank + 2).to(at::kFloat)));
    EXPECT_EQ(gathered[2].item<float>(), 10);
    EXPECT_EQ(gathered[5].item<float>(), 21);
  });
}

TEST(LocalBackend, AnAbortEndsTheWaitOfRanksWhosePeerNeverComes) {
  LocalWorld world(2);
  on_each_rank(2, world, [&](std::int64_t rank, ProcessGroup& group) {
    if (rank == 1) return world.abort("rank 1 failed: no data");
    EXPECT_THAT(test::message_of<RunError>([&] { group.barrier(); }),
                HasSubstr("rank 1 failed: no data"));
  });
}

TEST(LocalBackend, AWaitThatLastsTooLongSaysWhatItWaitedFor) {
  LocalWorld world(2);
  on_each_rank(2, world, [&](std::int64_t rank, ProcessGroup& group) {
    if (rank == 1) return;
    group.set_timeout(std::chrono::milliseconds(10));
    EXPECT_THAT(test::message_of<RunError>([&] { group.barrier(); }),
                HasSubstr("barrier #1 of fsdp failed: timed out after 10 ms"));
  });
}

}  // namespace
}  // namespace titan::comm
