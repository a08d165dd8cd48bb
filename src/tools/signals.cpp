#include "titan/tools/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <string_view>

#include "titan/base/errors.h"

namespace titan::tools {
namespace {

// A signal handler reaches only globals, and only lock-free atomics are safe in it.
std::atomic<int> first_signal = 0;
std::atomic<bool> installed = false;
std::atomic<unsigned> profile_requests = 0;
static_assert(std::atomic<int>::is_always_lock_free);

struct sigaction previous[NSIG];  // by signal

void request_stop(int signal) {
  int none = 0;
  if (first_signal.compare_exchange_strong(none, signal)) {
    if (signal == SIGINT) {
      const int saved_errno = errno;
      constexpr std::string_view kNotice =
          "\nInterrupted: finishing the current step. Press Ctrl-C again to stop at once.\n";
      [[maybe_unused]] const ssize_t written =
          ::write(STDERR_FILENO, kNotice.data(), kNotice.size());
      errno = saved_errno;
    }
  } else if (signal == SIGINT) {
    // Blocked while this handler runs: it kills as soon as we return.
    ::signal(SIGINT, SIG_DFL);
    ::raise(SIGINT);
  }
}

void request_profile(int) { ++profile_requests; }

void install(int signal, void (*handler)(int), struct sigaction* before) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // reads and writes under way go on
  sigemptyset(&action.sa_mask);
  TITAN_CHECK(::sigaction(signal, &action, before) == 0, "no handler for signal ", signal);
}

bool is_ignored(int signal) {
  struct sigaction now;
  return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace

std::vector<int> stop_signals() {
  std::vector<int> signals = {SIGINT, SIGTERM};
  for (const int signal : {SIGHUP, SIGUSR2, SIGXCPU}) {
    if (!is_ignored(signal)) signals.push_back(signal);
  }
  return signals;
}

StopSignals::StopSignals() {
  TITAN_CHECK(!installed.exchange(true), "two StopSignals at a time");
  first_signal = 0;
  for (const int signal : heard_) install(signal, request_stop, &previous[signal]);
}

StopSignals::~StopSignals() {
  for (const int signal : heard_) ::sigaction(signal, &previous[signal], nullptr);
  installed = false;
}

std::optional<int> StopSignals::received() const {
  const int signal = first_signal;
  return signal == 0 ? std::nullopt : std::optional<int>(signal);
}

ProfileRequest::ProfileRequest() : seen_(profile_requests) {
  static std::once_flag installed_handler;
  std::call_once(installed_handler, [] { install(SIGUSR1, request_profile, nullptr); });
}

bool ProfileRequest::take() {
  const unsigned so_far = profile_requests;
  const bool requested = so_far != seen_;
  seen_ = so_far;
  return requested;
}

}  // namespace titan::tools
