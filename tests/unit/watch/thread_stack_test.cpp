#include "watch/thread_stack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "watch/process_state.h"

namespace titan::watch {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr milliseconds kPatience(10'000);

TEST(ThreadStack, OfTheCallerItself) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").filename();
  const std::string stack = stack_of(this_thread(), kPatience);
  EXPECT_THAT(stack, HasSubstr("#0  "));
  EXPECT_THAT(stack, HasSubstr(program + "+0x"));
}

TEST(ThreadStack, OfAThreadThatWaitsAndGoesOnAfterwards) {
  std::mutex mutex;
  std::condition_variable changed;
  bool go_on = false;
  std::atomic<pid_t> number = 0;
  std::thread waiting([&] {
    number = this_thread();
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return go_on; });
  });
  while (number == 0) std::this_thread::yield();
  EXPECT_THAT(stack_of(number, kPatience), HasSubstr("libc.so"));
  EXPECT_THAT(stack_of(number, kPatience), HasSubstr("#2  ")) << "a second time";
  {
    const std::lock_guard lock(mutex);
    go_on = true;
  }
  changed.notify_all();
  waiting.join();
  // The kernel takes a moment longer than join.
  while (std::filesystem::exists("/proc/self/task/" + std::to_string(number))) {
    std::this_thread::yield();
  }
  EXPECT_THAT(stack_of(number, kPatience), HasSubstr("is gone"));
}

TEST(ThreadStack, OfAllOthersByName) {
  std::atomic<bool> go_on = false;
  std::atomic<bool> runs = false;
  std::thread other([&] {
    ::prctl(PR_SET_NAME, "backward");
    runs = true;
    while (!go_on) std::this_thread::sleep_for(milliseconds(1));
  });
  while (!runs) std::this_thread::yield();
  const std::string stacks = stacks_of_others(0, kPatience);
  go_on = true;
  other.join();
  EXPECT_THAT(stacks, HasSubstr("(backward)\n#0  "));
  EXPECT_THAT(stacks, testing::Not(HasSubstr(" more threads")));
}

TEST(ProcessState, OfAChild) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  EXPECT_EQ(process_state(child), ProcessState::kRunning);
  ::kill(child, SIGSTOP);
  ::waitpid(child, nullptr, WUNTRACED);
  EXPECT_EQ(process_state(child), ProcessState::kStopped);
  ::kill(child, SIGKILL);
  ::siginfo_t info;
  ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  EXPECT_EQ(process_state(child), ProcessState::kGone) << "a zombie";
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(process_state(child), ProcessState::kGone);
  EXPECT_EQ(process_state(0), ProcessState::kUnknown);
  EXPECT_EQ(machine_identity(), machine_identity());
}

}  // namespace
}  // namespace titan::watch
