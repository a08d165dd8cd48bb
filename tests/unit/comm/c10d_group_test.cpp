#include "comm/c10d_group.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "titan/base/errors.h"
#include "unit/comm/plain_gloo.h"
#include "unit/comm/rank_threads.h"
#include "unit/comm/stream_backend.h"

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

/// What is followed, as an observer gets it.
class Follower : public CollectiveObserver {
 public:
  std::uint64_t started(const CollectiveCall&) override { return 7; }
  bool follow(std::uint64_t id, const CollectiveCall& call,
              std::unique_ptr<UnderWay> work) override {
    EXPECT_EQ(id, 7U);
    EXPECT_EQ(call.operation, "all_reduce");
    followed = std::move(work);
    return true;
  }
  void finished(std::uint64_t) override { ++finished_waits; }
  std::string explain(std::uint64_t, const CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }

  std::unique_ptr<UnderWay> followed;
  int finished_waits = 0;
};

class StreamGroup : public testing::Test {
 protected:
  c10::intrusive_ptr<StreamBackend> backend_ = c10::make_intrusive<StreamBackend>(0, 2);
  Follower follower_;
  C10dGroup group_{{"fsdp", {0, 1}, 0, &follower_}, backend_, at::kCPU, std::chrono::seconds(9)};
};

TEST_F(StreamGroup, AWaitIsNotTheEndOfWorkThatIsFollowed) {
  group_.all_reduce(at::full({1}, 1.0)).wait();
  ASSERT_NE(follower_.followed, nullptr);
  EXPECT_EQ(follower_.followed->limit(), std::chrono::seconds(9));
  EXPECT_FALSE(follower_.followed->has_ended());
  EXPECT_EQ(follower_.finished_waits, 0) << "nobody has seen its end";
  backend_->works.front()->ended = true;
  EXPECT_TRUE(follower_.followed->has_ended());
}

TEST_F(StreamGroup, TheErrorOfWorkIsThrownWhereItsEndIsAskedFor) {
  group_.all_reduce(at::full({1}, 1.0)).wait();
  backend_->works.front()->error = std::make_exception_ptr(std::runtime_error("link down"));
  backend_->works.front()->ended = true;
  EXPECT_THROW(follower_.followed->has_ended(), std::runtime_error);
}

TEST_F(StreamGroup, TheBackEndGivesUpLongAfterTheObserver) {
  EXPECT_GE(backend_->timeout, std::chrono::minutes(5));
  group_.set_timeout(std::chrono::seconds(3));
  EXPECT_GE(backend_->timeout, std::chrono::minutes(5));
  group_.all_reduce(at::full({1}, 1.0));
  EXPECT_EQ(follower_.followed->limit(), std::chrono::seconds(3));
}

TEST_F(StreamGroup, TakesLeaveOfTheOthers) {
  EXPECT_EQ(backend_->shutdowns, 0);
  group_.shut_down();
  EXPECT_EQ(backend_->shutdowns, 1);
}

TEST(C10dGroup, IsWhereItsTensorsAre) {
  const at::Device gpu(at::kCUDA, 0);
  const C10dGroup group({"fsdp", {0, 1}, 0, nullptr}, c10::make_intrusive<StreamBackend>(0, 2), gpu,
                        std::chrono::seconds(9));
  EXPECT_EQ(group.device(), gpu);
}

TEST(C10dGroup, ARankMakesNoGroupThatItIsNotIn) {
  EXPECT_EQ(place_in_group({3, 1}, 1), 1);
  EXPECT_THROW(place_in_group({3, 1}, 0), InternalError);
}

}  // namespace
}  // namespace titan::comm::test
