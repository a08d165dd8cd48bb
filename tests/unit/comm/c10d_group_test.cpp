#include "comm/c10d_group.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "titan/base/errors.h"
#include "unit/comm/plain_gloo.h"
#include "unit/comm/rank_threads.h"

namespace titan::comm::test {
namespace {

TEST(C10dGroup, EveryCollectiveReachesTheBackEnd) {
  LocalWorld world(2);
  on_threads(2, [&](std::int64_t rank) {
    const auto group = make_plain_gloo(world.store(), "world", rank, 2, kPatience);
    const auto mine = static_cast<double>(rank + 1);
    const at::Tensor sum = at::full({3}, mine);
    group->all_reduce(sum).wait();
    EXPECT_EQ(sum[2].item<float>(), 3);
    const at::Tensor most = at::full({3}, mine);
    group->all_reduce(most, ReduceOp::kMax).wait();
    EXPECT_EQ(most[2].item<float>(), 2);

    const at::Tensor gathered = at::empty({4});
    group->all_gather(gathered, at::full({2}, mine)).wait();
    EXPECT_EQ(gathered[1].item<float>(), 1);
    EXPECT_EQ(gathered[2].item<float>(), 2);
    const at::Tensor part = at::empty({2});
    group->reduce_scatter(part, at::arange(4).to(at::kFloat)).wait();
    EXPECT_EQ(part[1].item<float>(), static_cast<float>(4 * rank + 2));

    // Rank 0 keeps one row and sends two; rank 1 sends none.
    const bool first = rank == 0;
    const at::Tensor rows = at::empty({first ? 1 : 2, 2});
    group
        ->all_to_all(rows, first ? at::full({3, 2}, 7.0) : at::empty({0, 2}), {first ? 1 : 2, 0},
                     first ? std::vector<std::int64_t>{1, 2} : std::vector<std::int64_t>{0, 0})
        .wait();
    EXPECT_TRUE(rows.eq(7).all().item<bool>());

    const at::Tensor word = at::full({1}, mine);
    group->broadcast(word, 1).wait();
    EXPECT_EQ(word.item<float>(), 2);
    (first ? group->send(word.mul_(2), 1) : group->receive(word, 0)).wait();
    EXPECT_EQ(word.item<float>(), 4);
    const at::Tensor theirs = at::empty({3});
    group
        ->exchange({{at::full({3}, mine), 1 - rank, Message::Direction::kSend},
                    {theirs, 1 - rank, Message::Direction::kReceive}})
        .wait();
    EXPECT_EQ(theirs[2].item<float>(), static_cast<float>(2 - rank));
  });
}

TEST(C10dGroup, ARankMakesNoGroupThatItIsNotIn) {
  EXPECT_EQ(place_in_group({3, 1}, 1), 1);
  EXPECT_THROW(place_in_group({3, 1}, 0), InternalError);
}

}  // namespace
}  // namespace titan::comm::test
