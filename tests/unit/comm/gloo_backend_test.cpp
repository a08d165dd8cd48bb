#include "titan/comm/gloo_backend.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <fcntl.h>
#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "unit/comm/rank_threads.h"

namespace titan::comm::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using titan::test::message_of;

TEST(GlooBackend, ARankThatLeavesEndsTheOthersWaits) {
  on_ranks(Kind::kGloo, 3, [](std::int64_t rank, Backend& backend) {
    const auto group = backend.make_group("world", {0, 1, 2}, kPatience, nullptr);
    group->barrier();
    if (rank == 2) return;  // as a rank that fails does; its group ends with it
    const at::Tensor large = at::full({100000}, 1.0);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_THAT(message_of<RunError>([&] { group->all_reduce(large).wait(); }),
                AllOf(HasSubstr("all_reduce #2 of world failed"), Not(HasSubstr("\n"))));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, kPatience / 2) << "waited for the time-out";
  });
}

TEST(GlooBackend, ARankThatNeverComesToACollectiveIsATimeOut) {
  std::atomic<int> timed_out = 0;
  on_ranks(Kind::kGloo, 2, [&](std::int64_t rank, Backend& backend) {
    const auto group = backend.make_group("world", {0, 1}, kPatience, nullptr);
    group->barrier();
    group->set_timeout(200ms);
    while (rank == 1 && timed_out == 0) std::this_thread::sleep_for(1ms);
    if (rank == 1) return;
    const at::Tensor output = at::empty({2});
    EXPECT_THAT(
        message_of<RunError>([&] { group->reduce_scatter(output, at::full({4}, 1.0)).wait(); }),
        AllOf(HasSubstr("reduce_scatter #2 of world failed"), HasSubstr("200ms")));
    timed_out = 1;
  });
}

TEST(GlooBackend, ATimeOutOfAMessageToo) {
  std::atomic<int> timed_out = 0;
  on_ranks(Kind::kGloo, 2, [&](std::int64_t rank, Backend& backend) {
    const auto group = backend.make_group("world", {0, 1}, kPatience, nullptr);
    group->barrier();
    group->set_timeout(200ms);
    while (rank == 1 && timed_out == 0) std::this_thread::sleep_for(1ms);
    if (rank == 1) return;
    EXPECT_THAT(message_of<RunError>([&] { group->receive(at::empty({2}), 1).wait(); }),
                HasSubstr("receive #1 of world failed"));
    timed_out = 1;
  });
}

TEST(GlooBackend, ALongTimeOutSetLaterHoldsToo) {
  on_ranks(Kind::kGloo, 2, [&](std::int64_t rank, Backend& backend) {
    const auto group = backend.make_group("world", {0, 1}, 10s, nullptr);
    group->barrier();
    group->set_timeout(50ms);
    group->set_timeout(kPatience);
    if (rank == 1) std::this_thread::sleep_for(500ms);
    const at::Tensor tensor = at::full({50000}, 1.0);
    group->all_reduce(tensor).wait();
    EXPECT_EQ(tensor[49999].item<float>(), 2);
  });
}

TEST(GlooBackend, AGroupWhoseMembersDoNotComeNamesThem) {
  on_ranks(Kind::kGloo, 4, [&](std::int64_t rank, Backend& backend) {
    if (rank == 1 || rank == 2) return;
    EXPECT_THAT(message_of<RunError>([&] {
                  backend.make_group("fsdp", {0, 1, 2, 3}, 500ms, nullptr);
                }),
                AllOf(HasSubstr("cannot join group 'fsdp' of ranks 0, 1, 2, 3"),
                      HasSubstr("rank 1, 2 did not come within 500 ms"), Not(HasSubstr("\n"))));
  });
}

TEST(GlooBackend, WhoDoesNotKnowTheSecretIsNoMember) {
  LocalWorld world(3);
  on_threads(3, [&](std::int64_t rank) {
    tools::LaunchEnvironment launch = launch_of(rank, 3, 0);
    launch.secret = rank == 1 ? "another" : "the job's";
    const auto backend = make_gloo_backend(world.store(), launch);
    EXPECT_THAT(message_of<RunError>([&] {
                  backend->make_group("fsdp", {0, 1, 2}, kPatience, nullptr);
                }),
                AllOf(HasSubstr(concat("rank ", rank, " cannot join group 'fsdp'")),
                      HasSubstr(concat("what connected as rank ", rank == 1 ? 0 : 1,
                                       " does not know the secret of this job"))));
  });
}

TEST(GlooBackend, RanksOfOneMachineTalkOverLoopback) {
  LocalWorld world(2);
  on_threads(2, [&](std::int64_t rank) {
    tools::LaunchEnvironment launch = launch_of(rank, 2, 0);
    launch.host = std::string(64, 'h');  // the longest name a machine can have
    launch.secret = "the job's";
    const auto group =
        make_gloo_backend(world.store(), launch)->make_group("world", {0, 1}, kPatience, nullptr);
    const at::Tensor tensor = at::full({3}, 1.0);
    group->all_reduce(tensor).wait();
    EXPECT_EQ(tensor[2].item<float>(), 2);
  });
}

// Every group is threads and sockets; a job that starts and stops often must give them back.
TEST(GlooBackend, GroupsGiveBackTheirSocketsAndThreads) {
  const auto open_files = [] {
    std::int64_t count = 0;
    for (int file = 0; file < 4096; ++file) count += fcntl(file, F_GETFD) != -1;
    return count;
  };
  std::int64_t before = 0;
  for (int round = 0; round < 20; ++round) {
    if (round == 2) before = open_files();
    on_ranks(Kind::kGloo, 2, [](std::int64_t, Backend& backend) {
      const auto group = backend.make_group("world", {0, 1}, kPatience, nullptr);
      group->all_reduce(at::full({30000}, 1.0)).wait();
    });
  }
  EXPECT_LE(open_files(), before);
}

TEST(GlooBackendDeathTest, ANetworkInterfaceThatIsNotThereIsAnError) {
  // In a process of its own: the environment is everybody's.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto join = [] {
    setenv("GLOO_SOCKET_IFNAME", "nosuch0", 1);
    LocalWorld world(1);
    try {
      make_gloo_backend(world.store(), launch_of(0, 1, 0))->make_group("world", {0}, 1s, nullptr);
    } catch (const RunError& error) {
      std::fputs(error.what(), stderr);
      _exit(3);
    }
    _exit(0);
  };
  EXPECT_EXIT(join(), testing::ExitedWithCode(3),
              "cannot join group 'world' of ranks 0: .*nosuch0");
}

}  // namespace
}  // namespace titan::comm::test
