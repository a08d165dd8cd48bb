#include "watch/thread_stack.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "titan/base/errors.h"

namespace titan::watch {
namespace {

enum Capture : int { kIdle, kRequested, kCapturing, kDone };

// A signal handler reaches only globals. Stacks are captured one at a time.
std::mutex one_at_a_time;
std::atomic<int> capture_state = kIdle;
std::atomic<pid_t> wanted_thread = 0;
std::array<void*, 128> frames;
std::atomic<int> frame_count = 0;

/// Not one of the signals that schedulers send and people bind.
int capture_signal() { return SIGRTMIN + 7; }

void capture(int) {
  const int saved_errno = errno;
  int requested = kRequested;
  if (wanted_thread == this_thread() &&
      capture_state.compare_exchange_strong(requested, kCapturing)) {
    frame_count = ::backtrace(frames.data(), static_cast<int>(frames.size()));
    capture_state = kDone;
  }
  errno = saved_errno;
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    // The first call loads the unwinder, which a handler must not do.
    std::array<void*, 4> some;
    ::backtrace(some.data(), static_cast<int>(some.size()));
    struct sigaction action = {};
    action.sa_handler = capture;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    ::sigaction(capture_signal(), &action, nullptr);
  });
}

/// "libtorch_cpu.so+0x1234 at::native::add(...) + 52"; the offset in the file is addr2line's.
std::string frame_text(void* address) {
  Dl_info info = {};
  if (::dladdr(address, &info) == 0 || info.dli_fname == nullptr) {
    return concat(address);
  }
  const char* slash = std::strrchr(info.dli_fname, '/');
  const auto offset = static_cast<char*>(address) - static_cast<char*>(info.dli_fbase);
  std::string text = concat(slash == nullptr ? info.dli_fname : slash + 1, "+0x", std::hex, offset);
  if (info.dli_sname == nullptr) return text;
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> demangled(
      abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status), std::free);
  return concat(text, "  ", status == 0 ? demangled.get() : info.dli_sname);
}

std::string stack_text(std::span<void* const> stack) {
  std::string text;
  for (std::size_t i = 0; i < stack.size(); ++i) {
    text += concat("#", i, "  ", frame_text(stack[i]), "\n");
  }
  return text;
}

}  // namespace

pid_t this_thread() { return static_cast<pid_t>(::syscall(SYS_gettid)); }

std::string stack_of(pid_t thread, std::chrono::milliseconds patience) {
  const std::lock_guard lock(one_at_a_time);
  install_handler();
  if (capture_state != kIdle) return "an earlier capture of a stack has not come back\n";
  wanted_thread = thread;
  capture_state = kRequested;
  if (::syscall(SYS_tgkill, ::getpid(), thread, capture_signal()) != 0) {
    capture_state = kIdle;
    return concat("thread ", thread, " is gone: ", std::strerror(errno), "\n");
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (capture_state != kDone && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  int requested = kRequested;
  if (capture_state.compare_exchange_strong(requested, kIdle)) {
    return concat("thread ", thread, " did not answer within ", patience.count(),
                  " ms: it may be inside the kernel\n");
  }
  for (int i = 0; i < 500 && capture_state != kDone; ++i) {  // it is being written
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (capture_state != kDone) return concat("thread ", thread, " cannot unwind its stack\n");
  const auto count = static_cast<std::size_t>(frame_count.load());
  std::string text = stack_text(std::span(frames).first(count));
  capture_state = kIdle;
  return text;
}

std::string stacks_of_others(pid_t thread, std::chrono::milliseconds patience) {
  constexpr std::chrono::milliseconds kPatienceForOne(200);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::string text;
  int missing = 0;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const auto number = static_cast<pid_t>(std::atoi(task.path().filename().c_str()));
    if (number == thread || number == this_thread()) continue;
    if (std::chrono::steady_clock::now() > deadline) {
      ++missing;
      continue;
    }
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    text += concat("thread ", number, " (", name, ")\n", stack_of(number, kPatienceForOne), "\n");
  }
  if (missing > 0) text += concat("and ", missing, " more threads\n");
  return text;
}

}  // namespace titan::watch
