#include "comm/finishing_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace titan::comm {
namespace {

TEST(FinishingThread, DoesEverythingOnceThoughItIsWaitedFor) {
  std::atomic<int> done = 0;
  FinishingThread thread;
  std::vector<std::unique_ptr<BackendWork>> works;
  for (int i = 0; i < 1000; ++i) works.push_back(thread.add([&] { ++done; }));
  for (auto work = works.rbegin(); work != works.rend(); ++work) (*work)->wait();
  EXPECT_EQ(done, 1000);
  works.front()->wait();
  EXPECT_EQ(done, 1000);
}

TEST(FinishingThread, WorksWhileNobodyWaits) {
  std::atomic<bool> done = false;
  FinishingThread thread;
  const auto work = thread.add([&] { done = true; });
  while (!done) std::this_thread::yield();
}

TEST(FinishingThread, AFailureReachesEveryWaitAndNotTheNextWork) {
  FinishingThread thread;
  const auto fails = thread.add([] { throw std::runtime_error("peer gone"); });
  const auto next = thread.add([] {});
  EXPECT_THROW(fails->wait(), std::runtime_error);
  EXPECT_THROW(fails->wait(), std::runtime_error);
  EXPECT_NO_THROW(next->wait());
}

TEST(FinishingThread, WorkOutlivesTheThread) {
  std::atomic<int> done = 0;
  std::unique_ptr<BackendWork> late;
  {
    FinishingThread thread;
    std::atomic<bool> begun = false;
    thread.add([&] {
      begun = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    });
    late = thread.add([&] { ++done; });
    while (!begun) std::this_thread::yield();
  }
  late->wait();
  EXPECT_EQ(done, 1);
}

}  // namespace
}  // namespace titan::comm
