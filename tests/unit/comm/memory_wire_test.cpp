// Messages through memory that ranks of one machine share. What groups make of them: collectives_test.cpp.
#include "comm/memory_wire.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <stdexcept>

#include "comm/message_memory.h"
#include "comm/shared_memory.h"
#include "support/throws.h"
#include "unit/comm/rank_threads.h"

namespace titan::comm::test {
namespace {

using testing::HasSubstr;
using titan::test::message_of;

/// Runs `body(place, wire)` as both members of a group of two.
void on_two(const std::function<void(std::int64_t, Wire&)>& body) {
  in_world(Kind::kLocal, 2, [&](ProcessGroup& group) {
    const auto wire = make_memory_wire(group, kPatience);
    ASSERT_NE(wire, nullptr);
    body(group.rank(), *wire);
    wire->shut_down();
  });
}

std::int64_t open_files() {
  std::int64_t count = 0;
  for (int file = 0; file < 4096; ++file) count += fcntl(file, F_GETFD) != -1;
  return count;
}

TEST(MemoryWire, MessagesOfATagArriveInOrderBesideThoseOfOthers) {
  on_two([](std::int64_t place, Wire& wire) {
    if (place == 0) {
      for (int i = 0; i < 8; ++i) wire.send(at::full({3}, 1.0 * i), 1, /*tag=*/i % 2);
      wire.send(at::full({50000}, 8.0), 1, 0);
      return;
    }
    const at::Tensor odd = at::empty({4, 3});
    const at::Tensor even = at::empty({4, 3});
    std::vector<std::unique_ptr<BackendWork>> works;
    for (int i = 0; i < 4; ++i) works.push_back(wire.receive(odd[i], 0, 1));
    for (int i = 0; i < 4; ++i) works.push_back(wire.receive(even[i], 0, 0));
    const at::Tensor large = at::empty({50000});
    wire.receive(large, 0, 0)->wait();
    for (auto work = works.rbegin(); work != works.rend(); ++work) (*work)->wait();
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(even[i].equal(at::full({3}, 2.0 * i)));
      EXPECT_TRUE(odd[i].equal(at::full({3}, 2.0 * i + 1)));
    }
    EXPECT_TRUE(large.equal(at::full({50000}, 8.0)));
  });
}

TEST(MemoryWire, AReceiveThatNobodyWaitsForTakesItsMessage) {
  on_two([](std::int64_t place, Wire& wire) {
    if (place == 0) {
      for (int i = 0; i < 3; ++i) wire.send(at::full({2000}, 1.0 * i), 1, 0);
      return;
    }
    const at::Tensor last = at::empty({2000});
    wire.receive(at::empty({2000}), 0, 0);
    wire.receive(at::empty({2000}), 0, 0);
    wire.receive(last, 0, 0)->wait();
    EXPECT_TRUE(last.equal(at::full({2000}, 2.0)));
  });
}

TEST(MemoryWire, MemoryOfMessagesIsUsedAgain) {
  on_two([](std::int64_t place, Wire& wire) {
    const std::int64_t other = 1 - place;
    const at::Tensor sent = at::full({20000}, 1.0);
    const at::Tensor received = at::empty({20000});
    std::int64_t before = 0;
    // More messages than a lane has places.
    for (int round = 0; round < 3000; ++round) {
      if (round == 10) before = open_files();
      wire.send(sent, other, round);
      wire.receive(received, other, round)->wait();
    }
    // Each holds one more where it is ahead.
    EXPECT_LE(open_files(), before + 4);
  });
}

TEST(MemoryWire, MessagesOfSizesThatGrowUseTheSameMemory) {
  on_two([](std::int64_t place, Wire& wire) {
    const at::Tensor all = at::full({20000}, 1.0);
    const std::int64_t before = open_files();
    for (int round = 0; round < 150; ++round) {
      const at::Tensor some = all.narrow(0, 0, 5000 + 100 * round);
      const at::Tensor answer = at::empty({1});
      if (place == 0) {
        wire.send(some, 1, round);
        wire.receive(answer, 1, round)->wait();  // the memory is free again
      } else {
        wire.receive(some, 0, round)->wait();
        wire.send(answer, 0, round);
      }
    }
    // 20 to 80 kB: powers of two from 32 to 128.
    if (place == 0) {
      EXPECT_EQ(open_files(), before + 3);
    }
  });
}

TEST(MemoryWire, MemoryOfOthersTakesNoOpenFile) {
  constexpr int kMessages = 50;
  std::atomic<std::int64_t> before = 0;
  on_two([&](std::int64_t place, Wire& wire) {
    const at::Tensor word = at::full({1}, 1.0);
    if (place == 0) {
      for (int i = 0; i < kMessages; ++i) wire.send(at::full({2000}, 1.0 * i), 1, /*tag=*/i);
      before = open_files();
      wire.send(word, 1, kMessages);
      wire.receive(word, 1, kMessages)->wait();
      return;
    }
    wire.receive(word, 0, kMessages)->wait();
    const at::Tensor received = at::empty({2000});
    for (int i = 0; i < kMessages; ++i) {
      wire.receive(received, 0, i)->wait();
      EXPECT_TRUE(received.equal(at::full({2000}, 1.0 * i)));
    }
    EXPECT_EQ(open_files(), before);
    wire.send(word, 0, kMessages);
  });
}

TEST(MemoryWire, WhereNoMoreFilesMayBeOpenedThatIsSaid) {
  on_two([](std::int64_t place, Wire& wire) {
    if (place == 1) return;
    rlimit usual{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &usual), 0);
    rlimit none = usual;
    none.rlim_cur = 0;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const std::string message =
        message_of<std::runtime_error>([&] { wire.send(at::full({2000}, 1.0), 1, 0); });
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &usual), 0);
    EXPECT_THAT(message, HasSubstr("a message of 8000 bytes"));
    EXPECT_THAT(message, HasSubstr("Too many open files (ulimit -n)"));
  });
}

/// Until the other member has come as far.
void meet(Wire& wire, std::int64_t other) {
  const at::Tensor word = at::full({1}, 1.0);
  wire.send(word, other, /*tag=*/7);
  wire.receive(at::empty({1}), other, 7)->wait();
}

TEST(MemoryWire, WhatLiesInItsMemoryIsReadThere) {
  on_two([](std::int64_t place, Wire& wire) {
    if (place == 0) {
      const at::Tensor both = wire.memory()->outgoing(2 * 50000, at::kFloat).fill_(8.0);
      wire.send(both.narrow(0, 50000, 50000), 1, 0);
      meet(wire, 1);
      both[50001].fill_(9.0);  // which nobody does who wants it to be a message
      meet(wire, 1);
      return;
    }
    const at::Tensor received = without_memory(50000, at::kFloat);
    wire.receive(received, 0, 0)->wait();
    EXPECT_TRUE(received.equal(at::full({50000}, 8.0)));
    meet(wire, 0);
    meet(wire, 0);
    EXPECT_EQ(received[1].item<float>(), 9.0F);
  });
}

TEST(MemoryWire, MemoryThatIsReadIsNotUsedAgain) {
  on_two([](std::int64_t place, Wire& wire) {
    constexpr std::int64_t kCount = 20000;
    if (place == 1) {
      at::Tensor received = without_memory(kCount, at::kFloat);
      wire.receive(received, 0, 0)->wait();
      meet(wire, 0);
      meet(wire, 0);
      EXPECT_TRUE(received.equal(at::full({kCount}, 1.0)));
      received = at::Tensor();
      meet(wire, 0);
      return;
    }
    MessageMemory& memory = *wire.memory();
    at::Tensor sent = memory.outgoing(kCount, at::kFloat).fill_(1.0);
    const void* const first = sent.const_data_ptr();
    wire.send(sent, 1, 0);
    meet(wire, 1);
    sent = at::Tensor();
    sent = memory.outgoing(kCount, at::kFloat).fill_(2.0);
    EXPECT_NE(sent.const_data_ptr(), first) << "the receiver has it";
    meet(wire, 1);
    meet(wire, 1);
    wire.send(at::full({1}, 1.0), 1, 3);  // sees what has been read
    EXPECT_EQ(memory.outgoing(kCount, at::kFloat).const_data_ptr(), first);
  });
}

TEST(MemoryWire, WhatIsReadWhereItLiesStaysWhileMoreMessagesComeThanALaneHasPlaces) {
  on_two([](std::int64_t place, Wire& wire) {
    constexpr std::int64_t kCount = 20000;
    constexpr int kMessages = 2500;
    if (place == 0) {
      wire.send(wire.memory()->outgoing(kCount, at::kFloat).fill_(1.0), 1, 0);
      for (int i = 0; i < kMessages; ++i) wire.send(at::full({1}, 1.0 * i), 1, 1);
      meet(wire, 1);
      return;
    }
    const at::Tensor kept = without_memory(kCount, at::kFloat);
    wire.receive(kept, 0, 0)->wait();
    const at::Tensor word = at::empty({1});
    for (int i = 0; i < kMessages; ++i) {
      wire.receive(word, 0, 1)->wait();
      EXPECT_EQ(word.item<float>(), i);
    }
    EXPECT_TRUE(kept.equal(at::full({kCount}, 1.0)));
    meet(wire, 0);
  });
}

TEST(MemoryWire, AMessageOfFewBytesFindsATensorWithoutMemory) {
  on_two([](std::int64_t place, Wire& wire) {
    if (place == 0) {
      wire.send(wire.memory()->outgoing(2, at::kFloat).fill_(3.0), 1, 0);
      return;
    }
    const at::Tensor received = without_memory(2, at::kFloat);
    wire.receive(received, 0, 0)->wait();
    EXPECT_TRUE(received.equal(at::full({2}, 3.0)));
  });
}

TEST(MemoryWire, WhoLeavesIsMissedAtOnce) {
  on_two([](std::int64_t place, Wire& wire) {
    const at::Tensor word = at::full({1}, 5.0);
    if (place == 0) {
      wire.send(word, 1, 0);
      return;
    }
    const at::Tensor received = at::empty({1});
    wire.receive(received, 0, 0)->wait();
    EXPECT_EQ(received.item<float>(), 5);
    EXPECT_THAT(message_of<std::runtime_error>([&] { wire.receive(received, 0, 0)->wait(); }),
                HasSubstr("member 0 of the group has left it"));
  });
}

TEST(MemoryWire, AMessageOfAnotherSizeIsAnError) {
  on_two([](std::int64_t place, Wire& wire) {
    if (place == 0) {
      wire.send(at::full({2}, 1.0), 1, 0);
      wire.send(at::full({2}, 1.0), 1, 0);
      return;
    }
    EXPECT_THAT(message_of<std::runtime_error>([&] { wire.receive(at::empty({3}), 0, 0)->wait(); }),
                HasSubstr("a message of 8 bytes, and not of 12"));
    wire.receive(at::empty({2}), 0, 0)->wait();
  });
}

TEST(SharedMemory, IsThatOfAnotherProcessAndOutlivesIt) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  int done[2];
  ASSERT_EQ(pipe(done), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto memory = SharedMemory::make(8192);
    if (!memory) _exit(1);
    std::memcpy(memory->data() + 5000, "here", 5);
    const int file = memory->file();
    char byte = 0;
    _exit(write(ends[1], &file, sizeof file) == sizeof file && read(done[0], &byte, 1) == 1 ? 0
                                                                                            : 1);
  }
  int file = -1;
  ASSERT_EQ(read(ends[0], &file, sizeof file), static_cast<ssize_t>(sizeof file));
  const OtherProcess process(child);
  EXPECT_FALSE(process.has_ended());
  EXPECT_FALSE(SharedMemory::of_process(child, file, 4096)) << "another size";
  EXPECT_FALSE(SharedMemory::of_process(child, ends[0], 8192)) << "no memory";
  const auto memory = SharedMemory::of_process(child, file, 8192);
  ASSERT_TRUE(memory);
  ASSERT_EQ(write(done[1], "x", 1), 1);
  while (!process.has_ended()) usleep(1000);
  EXPECT_STREQ(reinterpret_cast<const char*>(memory->data() + 5000), "here");
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  for (const int end : {ends[0], ends[1], done[0], done[1]}) close(end);
}

}  // namespace
}  // namespace titan::comm::test
