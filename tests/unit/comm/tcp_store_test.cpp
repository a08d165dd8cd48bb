#include "titan/comm/tcp_store.h"

#include <ATen/ops/full.h>
#include <gmock/gmock.h>

#include <atomic>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "unit/comm/rank_threads.h"

namespace titan::comm::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using titan::test::message_of;

/// The message with which this rank fails to connect.
std::string refusal(const tools::LaunchEnvironment& launch, std::chrono::milliseconds timeout) {
  return message_of<RunError>([&] { connect_store(launch, timeout); });
}

TEST(TcpStore, AllRanksReadAndWriteOneStore) {
  const std::uint16_t port = free_port();
  std::atomic<int> done = 0;
  on_threads(4, [&](std::int64_t rank) {
    const auto store = connect_store(launch_of(rank, 4, port), kPatience);
    EXPECT_EQ(store->find("nothing"), std::nullopt);
    const std::string bytes("a\0\n\xff", 4);
    if (rank == 3) store->set("greeting", bytes);
    EXPECT_EQ(store->wait("greeting", kPatience), bytes);
    if (rank == 2) store->set("empty", "");
    EXPECT_EQ(store->wait("empty", kPatience), "");
    store->add("count", rank);
    ++done;
    while (done < 4) std::this_thread::sleep_for(1ms);
    EXPECT_EQ(store->add("count", 0), 6);
    EXPECT_THAT(message_of<RunError>([&] { store->wait("never", 5ms); }),
                HasSubstr("nobody set 'never' in the store at 127.0.0.1:"));
    ++done;
    while (done < 8) std::this_thread::sleep_for(1ms);
  });
}

// Heartbeats must go on while another thread of the rank waits for something.
TEST(TcpStore, AWaitOfOneThreadDoesNotKeepTheOthersFromTheStore) {
  const auto store = connect_store(launch_of(0, 1, free_port()), kPatience);
  std::thread waits([&] { EXPECT_EQ(store->wait("last", kPatience), "here"); });
  for (int beat = 0; beat < 100; ++beat) store->set("heartbeat", std::to_string(beat));
  store->set("last", "here");
  waits.join();
}

TEST(TcpStore, ASecondConnectionSeesTheSameKeysWithoutARollCall) {
  const tools::LaunchEnvironment launch = launch_of(0, 1, free_port());
  const auto store = connect_store(launch, kPatience);
  const auto watch = connect_again(launch, kPatience);
  watch->set("phase", "forward");
  EXPECT_EQ(store->find("phase"), "forward");
}

TEST(TcpStore, ATakenPortIsNamed) {
  const PortHolder other_job;
  EXPECT_THAT(refusal(launch_of(0, 2, other_job.port()), 5s),
              AllOf(HasSubstr(concat("port ", other_job.port(), " is taken on this machine")),
                    HasSubstr("MASTER_PORT"), Not(HasSubstr("\n"))));
}

TEST(TcpStore, AMasterThatNobodyServesIsNamed) {
  const std::uint16_t port = free_port();
  EXPECT_THAT(refusal(launch_of(1, 2, port), 1s),
              AllOf(HasSubstr(concat("rank 1 cannot reach the store at 127.0.0.1:", port)),
                    HasSubstr("within 1 s"), Not(HasSubstr("\n"))));
}

TEST(TcpStore, AnAddressThatIsNoneIsNamed) {
  tools::LaunchEnvironment launch = launch_of(1, 2, 29500);
  launch.master_address = "no such host";
  EXPECT_THAT(refusal(launch, 1s),
              HasSubstr("rank 1 cannot reach the store at no such host:29500"));
}

// Something that listens and never answers: a port typed wrongly.
TEST(TcpStore, AServerThatIsNoStoreIsATimeOut) {
  const PortHolder silent;
  EXPECT_THAT(refusal(launch_of(1, 2, silent.port()), 1s),
              HasSubstr("rank 1 cannot reach the store"));
}

TEST(TcpStore, RanksThatNeverComeAreNamedOnAllOthers) {
  const std::uint16_t port = free_port();
  on_threads(4, [&](std::int64_t rank) {
    if (rank == 1 || rank == 3) return;
    // Rank 0 gives up first; rank 2 hears its verdict.
    EXPECT_THAT(refusal(launch_of(rank, 4, port), rank == 0 ? 2s : kPatience),
                HasSubstr("2 of 4 ranks did not come within"));
  });
}

TEST(TcpStore, TwoProcessesOfOneRankAreRefusedOnAllRanks) {
  const std::uint16_t port = free_port();
  on_threads(3, [&](std::int64_t thread) {
    const std::int64_t rank = thread == 0 ? 0 : 1;
    EXPECT_THAT(refusal(launch_of(rank, 3, port), kPatience),
                HasSubstr("two processes claim to be rank 1"));
  });
}

TEST(TcpStore, RanksThatDisagreeOnTheirNumberAreRefused) {
  const std::uint16_t port = free_port();
  on_threads(3, [&](std::int64_t rank) {
    const std::int64_t world_size = rank == 2 ? 4 : 3;
    EXPECT_THAT(refusal(launch_of(rank, world_size, port), kPatience),
                AllOf(HasSubstr("the ranks disagree on how many they are"),
                      HasSubstr("4 for rank 2"), HasSubstr("3 for rank")));
  });
}

TEST(TcpStore, AStoreWhoseServerEndedSaysSo) {
  const std::uint16_t port = free_port();
  std::unique_ptr<Store> served;
  std::unique_ptr<Store> store;
  on_threads(2, [&](std::int64_t rank) {
    (rank == 0 ? served : store) = connect_store(launch_of(rank, 2, port), kPatience);
  });
  served.reset();
  EXPECT_THAT(
      message_of<RunError>([&] { store->add("count", 1); }),
      AllOf(HasSubstr(concat("the store at 127.0.0.1:", port, " is gone")), Not(HasSubstr("\n"))));
}

TEST(TcpStore, GroupsMeetInIt) {
  const std::uint16_t port = free_port();
  std::atomic<int> done = 0;
  on_threads(3, [&](std::int64_t rank) {
    const auto store = connect_store(launch_of(rank, 3, port), kPatience);
    const auto backend = make_gloo_backend(*store, rank, 3);
    const auto group = backend->make_group("world", {0, 1, 2}, kPatience, nullptr);
    const at::Tensor tensor = at::full({30000}, 1.0);
    group->all_reduce(tensor).wait();
    EXPECT_EQ(tensor[29999].item<float>(), 3);
    // Rank 0 serves the store: it stays until the others have gone.
    ++done;
    while (rank == 0 && done < 3) std::this_thread::sleep_for(1ms);
  });
}

// torchrun serves the store itself, to all ranks, and may show the same one after a restart.
TEST(TcpStore, RanksOfAnAgentsStoreMeetAnewAfterARestart) {
  const std::uint16_t port = free_port();
  const auto agent = connect_store(launch_of(0, 1, port), kPatience);
  for (const std::int64_t restart : {0, 1}) {
    on_threads(2, [&](std::int64_t rank) {
      tools::LaunchEnvironment launch = launch_of(rank, 2, port);
      launch.agent_store = true;
      launch.restart_count = restart;
      const auto store = connect_store(launch, kPatience);
      EXPECT_EQ(store->find("left"), std::nullopt);
      store->add("here", 1);
      while (store->add("here", 0) < 2) std::this_thread::sleep_for(1ms);
      if (rank == 0) store->set("left", "over");
    });
  }
}

}  // namespace
}  // namespace titan::comm::test
