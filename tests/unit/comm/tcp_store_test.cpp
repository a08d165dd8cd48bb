#include "titan/comm/tcp_store.h"

#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <atomic>
#include <fstream>
#include <iomanip>
#include <sstream>

#include "comm/job_secret.h"
#include "support/throws.h"
#include "titan/base/descriptor.h"
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
    const auto backend = make_gloo_backend(*store, launch_of(rank, 3, port));
    const auto group = backend->make_group("world", {0, 1, 2}, kPatience, nullptr);
    const at::Tensor tensor = at::full({30000}, 1.0);
    group->all_reduce(tensor).wait();
    EXPECT_EQ(tensor[29999].item<float>(), 3);
    // Rank 0 serves the store: it stays until the others have gone.
    ++done;
    while (rank == 0 && done < 3) std::this_thread::sleep_for(1ms);
  });
}

tools::LaunchEnvironment with_secret(tools::LaunchEnvironment launch, const std::string& secret) {
  launch.secret = secret;
  return launch;
}

/// The addresses at which something listens on a port, as /proc writes them.
std::vector<std::string> listening_at(std::uint16_t port) {
  std::ostringstream ending;
  ending << ':' << std::uppercase << std::hex << std::setw(4) << std::setfill('0') << port;
  std::vector<std::string> addresses;
  for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream table(path);
    for (std::string line; std::getline(table, line);) {
      std::istringstream words(line);
      std::string number;
      std::string local;
      std::string remote;
      std::string state;
      words >> number >> local >> remote >> state;
      if (state == "0A" && local.ends_with(ending.str())) addresses.push_back(local);
    }
  }
  return addresses;
}

TEST(TcpStore, ALoopbackMasterIsReachedFromNowhereElse) {
  for (const char* master : {"127.0.0.1", "localhost", "0.0.0.0"}) {
    tools::LaunchEnvironment launch = launch_of(0, 1, free_port());
    launch.master_address = master;
    const auto store = connect_store(launch, kPatience);
    EXPECT_THAT(listening_at(launch.master_port),
                testing::ElementsAre(testing::StartsWith("0100007F:")))
        << master;
  }
}

// A port that every machine of a job is to reach.
TEST(TcpStore, AJobOfSeveralMachinesIsServedToAll) {
  tools::LaunchEnvironment launch = launch_of(0, 2, free_port());
  launch.local_world_size = 1;
  std::thread rank_0(
      [&] { EXPECT_THAT(refusal(launch, 2s), HasSubstr("1 of 2 ranks did not come")); });
  std::vector<std::string> addresses;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (addresses.empty() && std::chrono::steady_clock::now() < deadline) {
    addresses = listening_at(launch.master_port);
  }
  rank_0.join();
  EXPECT_THAT(addresses, testing::ElementsAre(Not(testing::StartsWith("0100007F:"))));
}

// The server looks up the name of everybody who connects, which takes a name server its time.
TEST(TcpStore, IdleConnectionsDoNotKeepRanksWaiting) {
  const std::uint16_t port = free_port();
  std::thread rank_0([&] { connect_store(launch_of(0, 2, port), kPatience); });
  std::vector<base::Descriptor> idle;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (idle.size() < 300 && std::chrono::steady_clock::now() < deadline) {
    base::Descriptor one(socket(AF_INET, SOCK_STREAM, 0));
    if (connect(one.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
      idle.push_back(std::move(one));
    }
  }
  ASSERT_EQ(idle.size(), 300U);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_NO_THROW(connect_store(launch_of(1, 2, port), kPatience));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kPatience / 2);
  rank_0.join();
}

TEST(TcpStore, WhatAStrangerWritesCountsAsNotWritten) {
  const tools::LaunchEnvironment launch = with_secret(launch_of(0, 1, free_port()), "a secret");
  const auto store = connect_store(launch, kPatience);
  store->set("mine", "value");
  connect_again(with_secret(launch, ""), kPatience)->set("greeting", "hello");
  connect_again(with_secret(launch, "another"), kPatience)->set("greeting", "hello");
  EXPECT_EQ(store->find("greeting"), std::nullopt);

  // One who has found out the keys.
  c10d::TCPStoreOptions options;
  options.port = launch.master_port;
  options.waitWorkers = false;
  c10d::PrefixStore raw(concat("titan_train/", JobSecret("a secret").seal("keys")),
                        c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options));
  ASSERT_TRUE(raw.check({"mine"})) << "the keys are others";
  raw.set("other", raw.get("mine"));
  raw.set("short", std::vector<std::uint8_t>{'x'});
  raw.set("empty", std::vector<std::uint8_t>{});
  raw.set("unsealed", std::vector<std::uint8_t>(100, 'x'));
  for (const char* key : {"other", "short", "empty", "unsealed"}) {
    EXPECT_EQ(store->find(key), std::nullopt) << key;
  }
  EXPECT_EQ(connect_again(launch, kPatience)->find("mine"), "value");
  store->set("short", "");
  EXPECT_EQ(store->find("short"), "");
}

TEST(TcpStore, RanksWithAnotherSecretDoNotTakePart) {
  const std::uint16_t port = free_port();
  on_threads(2, [&](std::int64_t rank) {
    const auto launch = with_secret(launch_of(rank, 2, port), concat("secret of ", rank));
    EXPECT_THAT(refusal(launch, 1s), HasSubstr("have they the TITAN_JOB_SECRET of this one"));
  });
}

TEST(TcpStore, TextOfStrangersIsShownOnOneLineWithoutControlCharacters) {
  const std::uint16_t port = free_port();
  std::thread rank_0(
      [&] { EXPECT_THAT(refusal(launch_of(0, 2, port), kPatience), "the end ?[31mof INFO - it"); });
  std::unique_ptr<Store> stranger;
  while (!stranger) {
    try {
      stranger = connect_again(launch_of(1, 2, port), 1s);
    } catch (const RunError&) {
    }
  }
  stranger->set("roll_call/verdict", "the end \x1b[31mof\nINFO - it");
  rank_0.join();
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
